package c2s

import (
	"net/netip"
	"testing"
)

// stranger is a connection from an address, as far as a crowd looks at it.
func stranger(addr string) *Conn {
	c := new(Conn)
	if addr != "" {
		c.stream.Addr = netip.AddrPortFrom(netip.MustParseAddr(addr), 40000)
	}
	return c
}

func TestOneAddressCannotUseUpTheRoom(t *testing.T) {
	for _, a := range []struct{ first, same, other string }{
		{"192.0.2.1", "192.0.2.1", "192.0.2.2"},
		{"192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"},
		{"2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"},
		{"fe80::1%eth0", "fe80::2%eth1", "2001:db8::1"},
	} {
		var w crowd
		var in []*Conn
		for range maxEarlyAddress {
			c := stranger(a.first)
			if !w.enter(c) {
				t.Fatalf("%s: only %d came in", a.first, len(in))
			}
			in = append(in, c)
		}
		if w.enter(stranger(a.same)) {
			t.Errorf("%s came in beside all from %s", a.same, a.first)
		}
		if !w.enter(stranger(a.other)) {
			t.Errorf("%s was kept out by those from %s", a.other, a.first)
		}
		w.leave(in[0])
		w.leave(in[0]) // counts once
		if !w.enter(stranger(a.same)) || w.enter(stranger(a.same)) {
			t.Errorf("%s: the place of one that left is not free, or twice", a.same)
		}
	}
}

func TestRoomIsBounded(t *testing.T) {
	var w crowd
	var in []*Conn
	addr := netip.MustParseAddr("192.0.2.1")
	for range maxEarly {
		c := stranger(addr.String())
		if !w.enter(c) {
			t.Fatalf("only %d came in", len(in))
		}
		in = append(in, c)
		addr = addr.Next()
	}
	if w.enter(stranger("198.51.100.1")) || w.enter(stranger("")) {
		t.Error("one too many came in")
	}
	for _, c := range in {
		w.leave(c)
	}
	if w.total != 0 || len(w.from) != 0 {
		t.Errorf("when all have left %d are counted, from %d addresses", w.total, len(w.from))
	}
}

// Those who come through a unix socket have no address to count.
func TestNoAddressNoShare(t *testing.T) {
	var w crowd
	for i := range maxEarlyAddress + 1 {
		if !w.enter(stranger("")) {
			t.Fatalf("only %d came in", i)
		}
	}
}
