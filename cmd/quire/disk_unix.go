//go:build unix && !solaris && !illumos && !aix && !netbsd

package main

import "golang.org/x/sys/unix"

// diskSpace tells how many bytes a folder's file system has left for the program,
// and how many it has in all.
func diskSpace(folder string) (free, all uint64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(folder, &s); err != nil {
		return 0, 0, err
	}
	return uint64(s.Bavail) * uint64(s.Bsize), uint64(s.Blocks) * uint64(s.Bsize), nil
}
