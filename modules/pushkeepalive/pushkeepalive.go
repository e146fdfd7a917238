// Package pushkeepalive lets the session of a client that can be woken wait for it much
// longer than others, as long as nothing has come that it was woken for.
package pushkeepalive

import (
	"context"
	"sync"
	"time"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/push"
	"github.com/gabberd/gabberd/sm"
)

// early is how long before the end of a session its client is woken.
const early = 2 * time.Minute

// Module is mod_push_keepalive.
var Module = modules.Define("mod_push_keepalive", modules.Spec[options]{
	Doc:   "Keeps the sessions of clients with push for long.",
	Needs: []string{"mod_push"},
	Start: start,
})

type options struct {
	ResumeTimeout time.Duration
	WakeOnStart   bool
	WakeOnTimeout bool
}

// Fields declares the options.
func (o *options) Fields(f *config.Fields) {
	f.Duration(&o.ResumeTimeout, "resume_timeout", 72*time.Hour, "How long the broken stream of a client with push can be resumed, until it is told that a text has come: from then on the time that it had before. 0: as long as that of others.")
	f.Bool(&o.WakeOnStart, "wake_on_start", false, "Half a minute after the start of the host, push to all clients that have no session then: what they had may have been lost. Nothing is told of any message; notify_on of mod_push must be all. At most 50 a second, and not after a reload. In a cluster every node does so when it starts. Sessions that live on other nodes, as all do that a node has given away when it left, are left alone; clients that stay away are woken anew by each node of a rolling restart.")
	f.Bool(&o.WakeOnTimeout, "wake_on_timeout", true, "Push to a client two minutes before its session ends, if that waits for longer and notify_on of mod_push is all.")
}

// settle is how long after the start of a host clients are woken: until then those
// have come that come by themselves, and of nodes that died with this one others do
// not take the sessions for alive any more.
const settle = 30 * time.Second

// keeper is the module on one virtual host.
type keeper struct {
	options
	host *modules.Host

	mu   sync.Mutex
	kept map[*sm.Session]kept
}

// server is the module as the owner of handlers of the server's own hooks.
type server struct{ *modules.Host }

// Hooks is the server's table.
func (s server) Hooks() *hooks.Table { return s.Global }

// kept is a session that waits longer than it would.
type kept struct {
	before time.Duration // how long it would have waited
	calm   func()        // its client is not to be woken any more; nil if it never was to be
}

func start(h *modules.Host, o options) error {
	if o.WakeOnStart {
		wakeOnStart(h)
	}
	if o.ResumeTimeout == 0 {
		return nil
	}
	m := &keeper{options: o, host: h, kept: map[*sm.Session]kept{}}
	sm.SessionPending.Add(h, hooks.Normal, m.pending)
	sm.Queued.Add(h, hooks.Normal, m.queued)
	sm.SessionResumed.Add(h, hooks.Normal, m.restore)
	sm.Closed.Add(h, hooks.Normal, m.restore)
	sm.SessionPacked.Add(h, hooks.First, func(ctx context.Context, l sm.Luggage, s *sm.Session) (sm.Luggage, hooks.Flow) {
		m.restore(ctx, s) // where it goes on, it is kept anew
		return l, hooks.Next
	})
	h.OnStop(m.restoreAll)
	return nil
}

// wakeOnStart wakes clients when the host has come up, which it has already if it is
// the module alone that starts anew.
func wakeOnStart(h *modules.Host) {
	var work sync.WaitGroup
	h.OnStop(work.Wait)
	ctx, cancel := context.WithCancel(h.Context())
	h.OnStop(cancel) // before Wait: last added, first done
	local.Up.Add(server{h}, hooks.Normal, func(_ context.Context, up *local.Host) {
		if up != h.Host {
			return
		}
		work.Go(func() {
			select {
			case <-time.After(settle):
				push.WakeAll.Run(ctx, h.Hooks(), h.JID)
			case <-ctx.Done():
			}
		})
	})
}

// pending lets the session of a client that can be woken wait for long.
func (m *keeper) pending(ctx context.Context, s *sm.Session) {
	before, ok := s.Waits()
	if !ok || !push.Wants(s) {
		return
	}
	k := kept{before: before}
	m.mu.Lock()
	if m.WakeOnTimeout && m.ResumeTimeout > early {
		k.calm = m.host.After(m.ResumeTimeout-early, func() { push.Wake.Run(m.host.Context(), m.host.Hooks(), s) })
	}
	m.kept[s] = k
	s.ResumeWithin(m.ResumeTimeout)
	m.mu.Unlock()
	// Not before: what comes from now on is heard of by queued.
	for _, st := range s.Unacknowledged() {
		if push.IsText(st) {
			m.restore(ctx, s)
			return
		}
	}
}

// queued lets a session wait as others do once its client was woken for a text.
func (m *keeper) queued(ctx context.Context, q sm.Queueing) {
	if push.Wants(q.Session) && push.IsText(q.Stanza) {
		m.restore(ctx, q.Session)
	}
}

// restore lets a session wait, from now on, as long as others do.
func (m *keeper) restore(_ context.Context, s *sm.Session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, ok := m.kept[s]
	if !ok {
		return
	}
	delete(m.kept, s)
	if k.calm != nil {
		k.calm()
	}
	s.ResumeWithin(k.before)
}

// restoreAll lets no session wait for long any more.
func (m *keeper) restoreAll() {
	m.mu.Lock()
	var list []*sm.Session
	for s := range m.kept {
		list = append(list, s)
	}
	m.mu.Unlock()
	for _, s := range list {
		m.restore(context.Background(), s)
	}
}
