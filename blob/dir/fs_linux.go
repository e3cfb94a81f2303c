package dir

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

func (osFS) publish(from, to string) error {
	for {
		err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EOPNOTSUPP):
			// Network file systems and old kernels don't know the flag.
			return linkAndRemove(from, to)
		default:
			return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
		}
	}
}

func (f osFile) WriteBack(offset, n int64) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var werr error
	if err := conn.Control(func(fd uintptr) {
		werr = unix.SyncFileRange(int(fd), offset, n, unix.SYNC_FILE_RANGE_WRITE)
	}); err != nil {
		return err
	}
	switch {
	case werr == nil, errors.Is(werr, unix.EINVAL), errors.Is(werr, unix.ENOSYS), errors.Is(werr, unix.EOPNOTSUPP), errors.Is(werr, unix.ESPIPE):
		return nil // a file system that can't; Sync will do it all
	}
	return os.NewSyscallError("sync_file_range", werr)
}
