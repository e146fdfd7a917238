package msgforward

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/xmpp"
)

// Report collects the figures of every destination of a virtual host, for whoever
// shows them: it is run with a nil list in the host's table.
var Report = hooks.NewFold[[]Figures, xmpp.JID]("msg_forward_figures", "How forwarding goes: handlers add the figures of their destinations.").ByHand("HOST", handReport)

// Figures are how a destination does on this node, at one moment. Counters begin
// with the start of the module.
type Figures struct {
	Host        string
	Destination string

	Delivered int64 // messages taken by the destination
	Retried   int64 // tries of messages that had failed before
	Failed    int64 // messages in requests that failed
	Died      int64 // messages given up

	Working bool          // whether this node works on the queue; the next ones are 0 if not
	Queue   int64         // messages that wait
	Dead    int64         // dead letters
	Oldest  time.Duration // age of the oldest message that waits

	Ratio1, Ratio15, Ratio60 float64       // messages that failed of those tried, in the last minutes; 0 if none was tried
	P50, P99                 time.Duration // of the last requests that succeeded
	Ill                      bool          // the circuit is open: only probes are sent
	LastError                string
	LastErrorAt              time.Time
}

const (
	slot      = 10 * time.Second // what is counted together
	slots     = 360              // an hour of them
	durations = 1024             // how many delivery times are kept
)

// counters are what Figures come from. They may be read and changed from anywhere.
type counters struct {
	mu     sync.Mutex
	f      Figures
	parts  map[*worker]numbers // in each database that this node works on
	window [slots]struct{ ok, failed int64 }
	at     int64 // number of the slot that is counted in
	took   [durations]time.Duration
	tookN  int // how many there were
}

// Figures is a snapshot.
func (c *counters) Figures() Figures {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn(now)
	f := c.f
	f.Ratio1, f.Ratio15, f.Ratio60 = c.ratio(6), c.ratio(90), c.ratio(slots)
	f.Working = len(c.parts) > 0
	for _, n := range c.parts {
		f.Queue, f.Dead = f.Queue+n.waiting, f.Dead+n.dead
		if n.waiting > 0 {
			f.Oldest = max(f.Oldest, now.Sub(time.UnixMicro(n.oldest)))
		}
	}
	took := slices.Clone(c.took[:min(c.tookN, durations)])
	if n := len(took); n > 0 {
		slices.Sort(took)
		f.P50, f.P99 = took[n/2], took[min(n*99/100, n-1)]
	}
	return f
}

// turn forgets the slots that are over since the last time.
func (c *counters) turn(now time.Time) {
	at := now.UnixNano() / int64(slot)
	for i := max(c.at+1, at-slots+1); i <= at; i++ {
		c.window[i%slots] = struct{ ok, failed int64 }{}
	}
	c.at = at
}

func (c *counters) ratio(last int64) float64 {
	var ok, failed int64
	for i := c.at - last + 1; i <= c.at; i++ {
		w := c.window[((i%slots)+slots)%slots]
		ok, failed = ok+w.ok, failed+w.failed
	}
	if failed == 0 {
		return 0
	}
	return float64(failed) / float64(ok+failed)
}

// succeeded counts a request that was taken.
func (c *counters) succeeded(n, retried int, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn(time.Now())
	c.window[c.at%slots].ok += int64(n)
	c.f.Delivered += int64(n)
	c.f.Retried += int64(retried)
	c.took[c.tookN%durations] = took
	c.tookN++
}

// failed counts a request that was not.
func (c *counters) failed(n, retried int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.turn(now)
	c.window[c.at%slots].failed += int64(n)
	c.f.Failed += int64(n)
	c.f.Retried += int64(retried)
	c.f.LastError, c.f.LastErrorAt = err.Error(), now
}

// died counts messages that were given up.
func (c *counters) died(w *worker, gone int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.f.Died += gone
	n := c.parts[w]
	n.dead += gone
	c.parts[w] = n
}

// ill notes the state of the circuit.
func (c *counters) ill(yes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.f.Ill = yes
}

// begin notes that this node works on the queue, and what there is in it.
func (c *counters) begin(w *worker, n numbers) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.parts == nil {
		c.parts = map[*worker]numbers{}
	}
	c.parts[w] = n
}

// end notes that it does not.
func (c *counters) end(w *worker) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.parts, w)
	c.f.Ill = c.f.Ill && len(c.parts) > 0
}

// dead notes how many dead letters there are.
func (c *counters) dead(w *worker, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	part := c.parts[w]
	part.dead = n
	c.parts[w] = part
}

// queue notes what waits.
func (c *counters) queue(w *worker, n numbers) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n.dead = c.parts[w].dead
	c.parts[w] = n
}

// handReport reads the word HOST.
func handReport(ctx context.Context, words []string) ([]Figures, xmpp.JID, error) {
	j, err := handHost(ctx, words)
	return nil, j, err
}
