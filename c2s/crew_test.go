package c2s_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"runtime"
	"runtime/pprof"
	"strings"
	"testing"
	"time"
)

// running is how many goroutines are in a function.
func running(name string) int {
	var all bytes.Buffer
	pprof.Lookup("goroutine").WriteTo(&all, 2)
	return strings.Count(all.String(), "c2s."+name+"(")
}

// Who has logged in and sent presence rests on a goroutine of its own, and the one that
// has logged him in is there for the next one.
func TestLoggedInClientsRestApart(t *testing.T) {
	h := newHouse(t, direct)
	var all []*stranger
	for i := range 5 {
		s := h.connect()
		s.secure(insecure())
		s.open()
		s.login("romeo")
		s.bind(fmt.Sprint(i))
		s.send("<presence/>")
		for end := time.Now().Add(patience); running("(*Conn).repose") != i+1 || running("(*Conn).start") != 0; runtime.Gosched() {
			if time.Now().After(end) {
				t.Fatalf("%d clients rest, %d log in", running("(*Conn).repose"), running("(*Conn).start"))
			}
		}
		all = append(all, s)
	}
	if n := running("(*crew).work"); n > 2 {
		t.Errorf("%d goroutines have logged in 5 clients", n)
	}
	for i, s := range all {
		s.send(fmt.Sprintf("<message to='romeo@localhost/%d' id='m%d'/>", (i+1)%5, i))
	}
	for i, s := range all {
		s.until(fmt.Sprintf("id='m%d'", (i+4)%5))
	}
}

// A client of any version of TLS hears all of the handshake, also what it ends with.
func TestVersionsOfTLS(t *testing.T) {
	h := newHouse(t, direct)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		conf := insecure()
		conf.MinVersion, conf.MaxVersion = version, version
		s := h.connect()
		s.secure(conf)
		s.open()
		s.login("romeo")
		s.bind("x")
		old := insecure()
		old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		if err := tls.Client(h.connect().tcp, old).Handshake(); err == nil || !strings.Contains(err.Error(), "protocol version") {
			t.Errorf("TLS 1.1: %v", err)
		}
	}
}
