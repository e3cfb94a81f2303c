//go:build !unix || solaris || illumos || aix || netbsd

package main

import "errors"

// diskSpace cannot tell here.
func diskSpace(string) (free, all uint64, err error) { return 0, 0, errors.ErrUnsupported }
