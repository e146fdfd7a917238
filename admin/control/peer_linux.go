package control

import (
	"fmt"
	"net"
	"os"
	"syscall"
)

// checkPeer returns an error if the process at the other end belongs neither to
// the server's user nor to root.
func checkPeer(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var peer *syscall.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		peer, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil {
		return err
	}
	if failed != nil {
		return fmt.Errorf("ask who is there: %w", failed)
	}
	return allowed(peer.Uid, uint32(os.Geteuid()))
}
