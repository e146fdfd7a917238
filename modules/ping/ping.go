// Package ping answers pings and, if asked to, pings silent clients to find out
// whether they are still there (XEP-0199).
package ping

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

const ns = "urn:xmpp:ping"

// Module is mod_ping.
var Module = modules.Define("mod_ping", modules.Spec[options]{
	Doc:   "Answers pings and can send them to clients that have gone silent.",
	XEPs:  []string{"0199"},
	Start: start,
})

type options struct {
	SendPings  bool
	Interval   time.Duration
	AckTimeout time.Duration
	OnTimeout  string
}

// Fields declares the options.
func (o *options) Fields(f *config.Fields) {
	f.Bool(&o.SendPings, "send_pings", false, "Ping clients that have been silent for `ping_interval`.")
	f.Duration(&o.Interval, "ping_interval", time.Minute, "How long a client may be silent.").Must(config.AtLeast(time.Second))
	f.Duration(&o.AckTimeout, "ping_ack_timeout", 32*time.Second, "How long to wait for the answer.").Must(config.AtLeast(time.Millisecond))
	f.Enum(&o.OnTimeout, "timeout_action", "none", "What to do with a client that does not answer.", "none", "kill")
}

type ping struct {
	options
	host    *modules.Host
	watches *sm.Slot[*watch]
}

// A watch is over one session: when it was heard last, and a timer that looks.
// Being heard moves the time and not the timer, since it happens so often.
type watch struct {
	heard atomic.Int64 // nanoseconds since the watch began
	began time.Time
	timer *time.Timer
}

func start(h *modules.Host, o options) error {
	p := &ping{o, h, sm.NewSlot[*watch]("ping")}
	h.IQ(ns, answer)
	h.UserIQ(ns, answer)
	h.Feature(ns)
	h.UserFeature(ns)
	if !o.SendPings {
		return nil
	}
	sm.Opened.Add(h, hooks.Last, p.watch)
	sm.UserSend.Add(h, hooks.Last, p.heard)
	sm.Closed.Add(h, hooks.Last, p.forget)
	h.OnStop(p.forgetAll)
	for _, s := range h.Sessions.Here() { // opened before the module started
		p.watch(h.Context(), s)
	}
	return nil
}

func answer(_ context.Context, iq *xmpp.Stanza) (*xmpp.Element, error) {
	if iq.Type != "get" || iq.Payload().Name != "ping" {
		return nil, xmpp.BadRequest
	}
	return nil, nil
}

func (p *ping) watch(_ context.Context, s *sm.Session) {
	w := &watch{began: time.Now()}
	p.watches.Set(s, w)
	// Not armed before it is in its field, which the function uses.
	w.timer = time.AfterFunc(1<<62, func() { p.look(s, w) })
	w.timer.Reset(p.Interval)
}

func (p *ping) heard(_ context.Context, st *xmpp.Stanza, s *sm.Session) (*xmpp.Stanza, hooks.Flow) {
	if w, ok := p.watches.Get(s); ok {
		w.heard.Store(int64(time.Since(w.began)))
	}
	return st, hooks.Next
}

func (p *ping) forget(_ context.Context, s *sm.Session) {
	if w, ok := p.watches.Get(s); ok {
		p.watches.Delete(s)
		w.timer.Stop()
	}
}

func (p *ping) forgetAll() {
	for _, s := range p.host.Sessions.Here() {
		p.forget(p.host.Context(), s)
	}
}

// look pings s if it has been silent for long enough, and looks again later.
func (p *ping) look(s *sm.Session, w *watch) {
	if left := p.Interval - (time.Since(w.began) - time.Duration(w.heard.Load())); left > 0 {
		p.again(s, w, left)
		return
	}
	if _, waits := s.Waits(); waits || p.probe(s) { // of one that may be resumed it is known that nobody is there
		p.again(s, w, p.Interval)
	}
}

// again has w look after d, unless the session or the module is gone.
func (p *ping) again(s *sm.Session, w *watch, d time.Duration) {
	w.timer.Reset(d)
	if now, ok := p.watches.Get(s); !ok || now != w || p.host.Context().Err() != nil {
		w.timer.Stop()
	}
}

// probe pings s and reports whether it is to be watched further. Any answer
// will do, even an error: someone is there.
func (p *ping) probe(s *sm.Session) bool {
	ctx, cancel := context.WithTimeout(p.host.Context(), p.AckTimeout)
	defer cancel()
	_, err := p.host.Ask(ctx, s.JID, xmpp.El(ns, "ping"), "get")
	if !errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	TimedOut.Run(p.host.Context(), p.host.Hooks(), s.JID)
	if p.OnTimeout != "kill" {
		return true
	}
	s.Close(stream.ConnectionTimeout.With("No answer to a ping"))
	return false
}
