// Package prescounter stops floods of subscription requests: of a user who sends
// too many, and to a user who is sent too many.
package prescounter

import (
	"context"
	"sync"
	"time"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// Module is mod_pres_counter.
var Module = modules.Define("mod_pres_counter", modules.Spec[options]{
	Doc:   "Stops floods of subscription requests. Each node counts for itself.",
	Start: start,
})

type options struct {
	Count    int
	Interval time.Duration
}

// Fields declares the options.
func (o *options) Fields(f *config.Fields) {
	f.Int(&o.Count, "count", 5, "How many subscription stanzas a user may send, and may be sent, in an interval.").Must(config.AtLeast(1))
	f.Duration(&o.Interval, "interval", time.Minute, "The time over which they are counted.")
}

// maxCounted bounds the users who are counted at once.
const maxCounted = 10_000

type key struct {
	user xmpp.JID
	d    sm.Direction
}

// interval is what was counted of a user since start.
type interval struct {
	start time.Time
	n     int
}

// counter is the module on one virtual host.
type counter struct {
	options
	host *modules.Host

	mu  sync.Mutex
	all map[key]interval
}

func start(h *modules.Host, o options) error {
	m := &counter{options: o, host: h, all: map[key]interval{}}
	// ejabberd counts in privacy_check_packet, which may be asked about one stanza
	// more than once here.
	sm.OutSubscribe.Add(h, hooks.Early, m.sent)
	sm.InSubscribe.Add(h, hooks.Early, m.received)
	return nil
}

func (m *counter) sent(ctx context.Context, st *xmpp.Stanza, s *sm.Session) (*xmpp.Stanza, hooks.Flow) {
	if st == nil || m.pass(key{s.JID.Bare(), sm.Out}) {
		return st, hooks.Next
	}
	s.Send(ctx, st.Bounce(xmpp.PolicyViolation.WithText("Too many subscription requests, try again later")))
	return nil, hooks.Stop
}

func (m *counter) received(_ context.Context, ok bool, st *xmpp.Stanza) (bool, hooks.Flow) {
	if m.pass(key{st.To.Bare(), sm.In}) {
		return ok, hooks.Next
	}
	return false, hooks.Stop
}

// pass counts one more and reports whether it is not too many.
func (m *counter) pass(k key) bool {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	c, known := m.all[k]
	if !known {
		m.tidy(now)
		k.user = k.user.Clone()
	}
	if now.Sub(c.start) > m.Interval {
		c = interval{start: now}
	}
	if c.n++; c.n > m.Count {
		if c.n == m.Count+1 {
			m.all[k] = c
			m.host.Log.Warn("a flood of subscription requests is stopped", "user", k.user.String(), "sent", k.d == sm.Out)
		}
		return false
	}
	m.all[k] = c
	return true
}

// tidy makes room: for those whose interval is over, or where that does not help,
// for anybody.
func (m *counter) tidy(now time.Time) {
	if len(m.all) < maxCounted {
		return
	}
	for k, c := range m.all {
		if now.Sub(c.start) > m.Interval {
			delete(m.all, k)
		}
	}
	for k := range m.all {
		if len(m.all) < maxCounted {
			return
		}
		delete(m.all, k)
	}
}
