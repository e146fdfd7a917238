// Package control is the way from gabberdctl into a running server: a unix
// socket in the data directory. It knows nothing of commands; package admin
// answers what comes through it.
//
// A connection carries one request. The server greets at once with a line
//
//	{"gabberd":1}
//
// which tells the client that the server is awake and speaks this protocol. The
// client sends a line with a Request in JSON; the server answers lines with
// text to print, {"out":"…"} or {"err":"…"}, as they come, and at last one with
// the exit code, {"exit":0}. A client that goes away before that cancels the
// request.
//
// The socket has mode 0600, and the server asks the kernel who is at the other
// end: only its own user and root get in.
package control

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// SocketName is the name of the socket in the data directory.
const SocketName = "gabberd.sock"

// protocol is the version in the greeting.
const protocol = 1

// Limits of the protocol.
const (
	maxRequest  = 4 << 20          // bytes of the request's line
	maxLine     = 1 << 20          // bytes of a line of the answer
	chunk       = 32 << 10         // bytes of text put into one line
	maxClients  = 32               // connections at once
	patience    = 10 * time.Second // for a request to arrive, for a client to read
	greetingDue = 10 * time.Second // from a server that is awake
	dialing     = 5 * time.Second
)

// A Request is a command as it was typed.
type Request struct {
	Command string   `json:"command"`
	Args    []string `json:"args,omitempty"`
	Version *int     `json:"version,omitempty"` // of the API; nil: the newest
	JSON    bool     `json:"json,omitempty"`    // print what the HTTP API answers
	Auth    *Auth    `json:"auth,omitempty"`    // nil: as the operator
	Program string   `json:"program,omitempty"` // what the client was called as, for help texts
	Width   int      `json:"width,omitempty"`   // of the terminal, in columns; 0: none
}

// Auth is an account to act as.
type Auth struct {
	User     string `json:"user"`
	Host     string `json:"host"`
	Password string `json:"password"`
}

// A reply is a line from the server.
type reply struct {
	Gabberd int    `json:"gabberd,omitempty"`
	Out     string `json:"out,omitempty"`
	Err     string `json:"err,omitempty"`
	Exit    *int   `json:"exit,omitempty"`
}

// ErrUnreachable is the error of a call to which no server answers.
var ErrUnreachable = errors.New("no server answers")

// maxPath is how long the path of a socket may be (sun_path in unix(7)).
const maxPath = 107

// address returns an address of the socket at path for the kernel, which takes
// none longer than maxPath: those are reached through their directory, open
// until release is called.
func address(path string) (addr *net.UnixAddr, release func(), err error) {
	if len(path) <= maxPath {
		return &net.UnixAddr{Name: path, Net: "unix"}, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, nil, err
	}
	short := "/proc/self/fd/" + strconv.Itoa(int(dir.Fd())) + "/" + filepath.Base(path)
	if _, err := os.Stat(filepath.Dir(short)); err != nil || len(short) > maxPath {
		return nil, nil, errors.Join(dir.Close(), fmt.Errorf("the path is too long for a socket (%d bytes, at most %d): %s", len(path), maxPath, path))
	}
	return &net.UnixAddr{Name: short, Net: "unix"}, func() { _ = dir.Close() }, nil
}
