package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// A view is what a device has seen of a friend's device on its stream.
type view struct {
	available bool
	since     time.Time
	leaves    int      // how often it was told that it is gone, since it was there
	told      []string // the latest of what it was told, for people to read
}

// maxTold is how much of that is kept.
const maxTold = 8

// presence takes note of a friend's. Whoever calls holds mu.
func (d *device) presence(el *element) {
	from, typ := el.attr("from"), el.attr("type")
	if typ != "" && typ != "unavailable" || !strings.Contains(from, "/") {
		return
	}
	v := d.seen[from]
	if v == nil {
		v = &view{}
		d.seen[from] = v
	}
	if len(v.told) == maxTold {
		v.told = v.told[1:]
	}
	v.told = append(v.told, d.run.ledger.clock(time.Now())+" "+cmp.Or(typ, "available"))
	if typ == "" {
		if !v.available {
			v.since = time.Now()
		}
		v.available, v.leaves = true, 0
		return
	}
	if v.leaves++; v.leaves > 1 && !v.available {
		d.run.ledger.accuse("%s was told %d times in a row that %s is gone:\n    %s\n%s", d.full(), v.leaves, from, strings.Join(v.told, "\n    "), d.run.ledger.life(from))
	}
	if v.available {
		d.run.ledger.rumour(d.full(), from, v.since)
	}
	if v.available || v.since.IsZero() {
		v.since = time.Now()
	}
	v.available = false
}

// sight is whether it sees the device of a friend, and since when.
func (d *device) sight(of *device) (available bool, since time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if v := d.seen[of.full()]; v != nil {
		return v.available, v.since
	}
	return false, time.Time{}
}

// hearsay is what it was told of the device of a friend.
func (d *device) hearsay(of *device) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if v := d.seen[of.full()]; v != nil {
		return strings.Join(v.told, "\n    ")
	}
	return "nothing"
}

// life is the beginnings and ends of a device's streams.
func (l *ledger) life(full string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lived(full)
}

func (l *ledger) lived(full string) string {
	var b strings.Builder
	for _, e := range l.diary {
		if e.who == full {
			fmt.Fprintf(&b, "    %s  %s: %s\n", l.clock(e.at), e.who, e.what)
		}
	}
	for _, f := range l.faults[max(0, len(l.faults)-2):] {
		fmt.Fprintf(&b, "    %s  FAULT %s %s\n", l.clock(f.began), f.kind, f.what)
	}
	return b.String()
}

// blind is whom a friend sees otherwise than it is; empty when all is right.
func (r *run) blind() string {
	for _, d := range r.devices {
		if d.current() == nil {
			continue
		}
		for _, f := range d.friends {
			sees, _ := d.sight(f)
			if is := f.current() != nil; is != sees {
				return fmt.Sprintf("to %s, %s is available=%t, but that is %t. It was told:\n    %s\n%s%s", d.full(), f.full(), sees, is, d.hearsay(f), r.ledger.life(f.full()), r.ledger.life(d.full()))
			}
		}
	}
	return ""
}
