package main

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/gabberd/gabberd/bench/load"
)

// The generator's rooms, on a server that has some.
func TestRooms(t *testing.T) {
	libs, err := ejabberdLibraries()
	if err != nil || libs == "" {
		t.Fatalf("this test needs ejabberd (apt-get install ejabberd): %v", err)
	}
	h := &house{dir: t.TempDir(), prefix: "user", password: "pw"}
	h.cert = filepath.Join(h.dir, "cert.pem")
	if err := writeCertificate(h.cert); err != nil {
		t.Fatal(err)
	}
	p, err := ejabberdNode(h, "ejabberd-rooms", libs, ejabberdExtra{modules: "  mod_muc: {}\n"})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.stop(); err != nil {
			t.Error(err)
		}
	}()
	j := load.Job{Workload: "register", Target: p.target(false), Sessions: 6}
	if _, err := load.Run(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	j.Workload, j.Occupants, j.Window, j.Duration = "rooms", 3, 2, 300*time.Millisecond
	r, err := load.Run(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	if broken := r.Tally.Broken(); broken != nil || r.Tally.Sent < 12 || r.Tally.Got != 3*r.Tally.Sent {
		t.Errorf("%d messages made %d deliveries: %v", r.Tally.Sent, r.Tally.Got, broken)
	}
	j.Occupants = 4
	if _, err := load.Run(t.Context(), j); err == nil {
		t.Error("six sessions make rooms of four")
	}
}
