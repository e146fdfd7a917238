//go:build !race

// Under the race detector stacks are not as big as they are.

package server

import (
	"fmt"
	"runtime"
	"testing"
)

// chatty is a server with what a message between two clients passes through.
const chatty = `
hosts: [localhost]
listen:
  - {port: 0, ip: 127.0.0.1, module: ejabberd_c2s, tls: true, access: all, shaper: none}
auth_password_format: plain
registration_timeout: infinity
modules:
  mod_blocking: {}
  mod_carboncopy: {}
  mod_client_state: {}
  mod_last: {}
  mod_offline: {}
  mod_ping: {}
  mod_privacy: {}
  mod_push: {}
  mod_roster: {}
  mod_stream_mgmt: {}
`

// A message has to fit into a stack of 4 kB, where there is no archive. A collection
// makes stacks of sessions that are bigger smaller again, and the next message would have
// to copy them: among many sessions, of which each says little, it cost a third more.
func TestMessageFitsASmallStack(t *testing.T) {
	const clients = 100
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2)) // each processor has stacks that nobody uses
	r := up(t, chatty)
	var all []*wire
	for i := range clients {
		user := fmt.Sprintf("user%d@localhost", i)
		r.register(user)
		w := r.session(user + "/x")
		w.send("<presence/>")
		w.until("<presence")
		all = append(all, w)
	}
	stacks := func() uint64 { return reading("/memory/classes/heap/stacks:bytes") }
	for range 3 {
		runtime.GC()
	}
	before := stacks()
	for i, w := range all {
		w.says("Wherefore art thou", fmt.Sprintf("user%d@localhost", (i+1)%clients), all[(i+1)%clients])
	}
	// From 2 kB to 4, and some of those that are free are not given back yet; to 8 it would be
	// six each at least.
	if grown := (int64(stacks()) - int64(before)) / clients; grown > 5<<10 {
		t.Errorf("the stack of a client that has sent a message has grown by %d bytes", grown)
	}
}
