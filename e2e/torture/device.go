package main

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// tick is how often a device looks for what it has to do.
const tick = 100 * time.Millisecond

// A device is a client of one user with one resource. It always has a connection,
// unless it was told to stay away: when a stream breaks it resumes it, if it is one
// that does, or goes to another node, with the same resource, and sends again what
// was not acknowledged.
type device struct {
	run      *run
	user     string
	resource string
	home     int           // the node that it is on when nothing is wrong
	priority int           // of its presence
	lazy     bool          // acknowledges every two seconds, whoever asks
	resumes  bool          // its streams, when they break
	agent    string        // UUID of its user agent, if it logs in by SASL2 and Bind 2
	patience time.Duration // with a silent server
	friends  []*device     // whose presence it sees
	chance   *rand.Rand    // used by its own goroutine alone

	mu      sync.Mutex
	stream  *stream          // nil while it has none
	prev    *stream          // that it may resume; nil for none
	race    bool             // told to resume it over two connections
	pending []*message       // not acknowledged, in the order of sending
	next    int              // the node to try next
	away    bool             // told to stay away when it has no stream
	move    bool             // told to log out, and come back if it is not away
	vanish  bool             // told to leave its connection as it is and make a new one
	present bool             // the server has heard of its presence
	changed chan struct{}    // closed and replaced when away or move changes
	seen    map[string]*view // what it has seen of friends on this stream, by full JID
}

func (d *device) full() string { return d.user + "@" + domain + "/" + d.resource }
func (d *device) bare() string { return d.user + "@" + domain }

// tell changes what the device shall do.
func (d *device) tell(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
	close(d.changed)
	d.changed = make(chan struct{})
}

// stayAway keeps it from coming back when its stream breaks.
func (d *device) stayAway() { d.tell(func() { d.away = true }) }

// comeBack lets it.
func (d *device) comeBack() { d.tell(func() { d.away = false }) }

// goHome has it log out and log in on its own node, if it is on another.
func (d *device) goHome() {
	d.tell(func() {
		d.next = d.home
		d.move = d.stream != nil && d.stream.node != d.run.nodes[d.home]
	})
}

// logOut has it leave in good order and stay away.
func (d *device) logOut() { d.tell(func() { d.away, d.move = true, true }) }

// current is the stream that it has, nil without.
func (d *device) current() *stream {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stream
}

// live is the device's life, until ctx ends.
func (d *device) live(ctx context.Context) {
	for {
		d.mu.Lock()
		away, changed := d.away, d.changed
		d.mu.Unlock()
		wait := 50 * time.Millisecond
		switch {
		case away:
			wait = time.Hour
		default:
			if s := d.enter(ctx); s != nil {
				d.serve(ctx, s)
				wait = 0
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-time.After(wait):
		}
	}
}

// serve uses a stream until it ends.
func (d *device) serve(ctx context.Context, s *stream) {
	s.serial, s.ledger = int(d.run.serials.Add(1)), d.run.ledger
	if s.from == nil {
		d.begin(s)
	} else {
		d.goOn(s)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		d.read(s)
	}()
	ticks := time.NewTicker(tick)
	defer ticks.Stop()
	for n := 0; ; n++ {
		select {
		case <-read:
			d.finish(s)
			return
		case <-ctx.Done():
			s.end(ctx.Err())
		case <-ticks.C:
			d.work(s, n)
		}
	}
}

// begin makes a new stream the device's: presence first, then what the server never
// acknowledged on the last one.
func (d *device) begin(s *stream) {
	d.run.ledger.connected(s)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stream, d.seen, d.move, d.present = s, map[string]*view{}, d.away, false
	for _, el := range s.early {
		d.take(s, el, false)
	}
	s.stanza("<presence><priority>"+strconv.Itoa(d.priority)+"</priority></presence>", nil)
	for _, m := range d.pending {
		s.stanza(d.written(m), m)
	}
	s.request()
}

// finish takes a stream from the device.
func (d *device) finish(s *stream) {
	d.run.ledger.disconnected(s, s.over())
	if why := s.over(); why != nil && strings.Contains(why.Error(), "handled-count-too-high") {
		d.run.ledger.accuse("%s has got more stanzas on stream %d than the server has sent: %v", s.full, s.serial, why)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stream, d.move, d.prev = nil, false, nil
	if s.id != "" && !s.left {
		d.prev = s
	}
	if d.next%len(d.run.nodes) == slices.Index(d.run.nodes, s.node) {
		d.next++
	}
}

// work is done at every tick: it sends, acknowledges and asks.
func (d *device) work(s *stream, n int) {
	if d.run.load.Load() && d.chance.Float64() < d.run.rate*tick.Seconds()/2.5 {
		for range 1 + d.chance.IntN(4) { // 2.5 on average
			d.say(s)
		}
	}
	if !d.lazy && n%3 == 0 || n%20 == 19 {
		s.acknowledge(false)
	}
	if n%5 == 0 {
		s.request()
	}
	if s.silence() > d.patience {
		s.end(errSilent)
	}
	d.mu.Lock()
	move, vanish := d.move, d.vanish
	d.move, d.vanish, s.left = false, false, move
	d.mu.Unlock()
	switch {
	case vanish:
		s.abandon()
	case move:
		s.leave()
	}
}

// errVanished is how a stream ends whose client has lost its network.
var errVanished = errors.New("lost the network")

// abandon has the device stop reading and writing, and leaves the connection open.
func (s *stream) abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.why == nil {
		s.why = errVanished
		_ = s.conn.SetReadDeadline(time.Unix(1, 0)) // wakes the reader
	}
}

// errSilent is how a stream ends on which the server no longer answers.
var errSilent = errors.New("the server does not answer; left it")

// errLeft is how a stream ends that its client has closed in good order.
var errLeft = errors.New("logged out")

// leave closes the stream in good order. The reader gets what comes until the
// server closes its side too.
func (s *stream) leave() {
	s.acknowledge(false)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write("</stream:stream>")
	if s.why == nil {
		s.why = errLeft
	}
}

// read takes what comes until the stream ends.
func (d *device) read(s *stream) {
	for {
		el, err := s.next()
		if err != nil {
			d.close(s, err)
			return
		}
		s.sound()
		d.mu.Lock()
		d.take(s, el, s.on)
		d.mu.Unlock()
	}
}

// close answers the end of a stream as a good client does: what has come is
// acknowledged, and the connection is closed when the server has closed it.
func (d *device) close(s *stream, why error) {
	if errors.Is(s.over(), errVanished) {
		d.run.lose(s.conn)
		return
	}
	if !d.lazy {
		s.acknowledge(false)
	}
	s.leave()
	s.mu.Lock()
	if s.why == nil || s.why == errLeft && !errors.Is(why, errEnded) {
		s.why = why
	}
	s.mu.Unlock()
	if err := s.conn.SetReadDeadline(time.Now().Add(time.Second)); err == nil {
		// Until the other side has nothing more to say, so that it gets what we said.
		_, _ = io.Copy(io.Discard, s.conn)
	}
	s.conn.Close()
}
