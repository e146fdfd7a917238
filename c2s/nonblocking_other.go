//go:build !linux || race

package c2s

import "syscall"

// read and write are as elsewhere, in the way that every system has and the race detector
// understands.
func read(fd uintptr, p []byte) (int, error) { return syscall.Read(int(fd), p) }

func write(fd uintptr, p []byte) (int, error) { return syscall.Write(int(fd), p) }
