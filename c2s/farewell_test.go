package c2s_test

import (
	"runtime"
	"strings"
	"testing"
)

// TestFarewellBehindAWrite: the stream ends while somebody else is just writing to the
// client. The last words are not lost.
func TestFarewellBehindAWrite(t *testing.T) {
	h := newHouse(t, nil)
	romeo := h.available("romeo", "x")
	session := h.session("romeo@localhost/x")
	conn := h.listener.Conns()[0]
	for !conn.AtRest() { // or its own goroutine might be the one that is just writing
		runtime.Gosched()
	}
	entered, open := make(chan struct{}, 99), make(chan struct{})
	conn.Gate(entered, open)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		session.Send(t.Context(), message("romeo@localhost/x", "last", "last"))
	}()
	<-entered
	down := make(chan struct{})
	go func() {
		defer close(down)
		h.down()
	}()
	for over := false; !over && !conn.AwaitsWriter(); runtime.Gosched() {
		select {
		case <-conn.Done():
			over = true // without having waited
		default:
		}
	}
	close(open)
	got := romeo.rest()
	if !strings.Contains(got, ">last<") || !strings.Contains(got, "system-shutdown") || !strings.HasSuffix(got, "</stream:stream>") {
		t.Errorf("the client was told %s", got)
	}
	<-sent
	<-down
}
