//go:build !race

package c2s

import (
	"syscall"
	"unsafe"
)

// read and write are system calls on a socket that never blocks. Go's scheduler is not
// told of them: it would wake up a thread for each to see whether it blocks, which at a
// low rate is nearly half of what a message costs. p is not empty.
func read(fd uintptr, p []byte) (int, error) {
	return result(syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p))))
}

func write(fd uintptr, p []byte) (int, error) {
	return result(syscall.RawSyscall(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p))))
}

func result(n, _ uintptr, errno syscall.Errno) (int, error) {
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
