//go:build !linux

package control

import "net"

// checkPeer lets everyone in whom the mode of the socket, 0600 in a directory
// of the server's, lets connect: there is no portable way to ask.
func checkPeer(*net.UnixConn) error { return nil }
