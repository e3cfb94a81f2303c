//go:build !linux

package libreoffice

import "syscall"

// isolate does what can be done on every system: a process group.
func (e *Engine) isolate() { e.attr = syscall.SysProcAttr{Setpgid: true} }
