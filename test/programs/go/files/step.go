package main

import (
	"errors"
	"fmt"
	"io"
	"syscall"
)

var errnos = map[syscall.Errno]string{
	syscall.EACCES: "EACCES", syscall.EBADF: "EBADF", syscall.EEXIST: "EEXIST", syscall.EINVAL: "EINVAL",
	syscall.EIO: "EIO", syscall.EISDIR: "EISDIR", syscall.ELOOP: "ELOOP", syscall.ENAMETOOLONG: "ENAMETOOLONG",
	syscall.ENOENT: "ENOENT", syscall.ENOSPC: "ENOSPC", syscall.ENOSYS: "ENOSYS", syscall.ENOTDIR: "ENOTDIR",
	syscall.ENOTEMPTY: "ENOTEMPTY", syscall.EPERM: "EPERM", syscall.EROFS: "EROFS", syscall.EXDEV: "EXDEV",
	syscall.EFAULT: "EFAULT", syscall.EMFILE: "EMFILE", syscall.ENOTSUP: "ENOTSUP", syscall.ESPIPE: "ESPIPE",
}

// failed says that a step failed, which some are meant to.
var failed bool

func name(err error) string {
	var errno syscall.Errno
	switch {
	case err == nil:
		return "ok"
	case err == io.EOF:
		return "EOF"
	case errors.As(err, &errno) && errnos[errno] != "":
		return errnos[errno]
	default:
		return err.Error()
	}
}

// step prints what was done, how it ended, and what there is to say if it ended well.
func step(what string, err error, more ...any) {
	if err != nil {
		failed = true
		more = nil
	}
	fmt.Println(append([]any{what + ":", name(err)}, more...)...)
}
