package offline

import (
	"context"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
)

// bound forgets what waits for a user and is in his archive, when his client gets its
// session by Bind 2: such a client asks the archive, and would get it twice (XEP-0386
// §3.2). What the archive does not have is handed over as to any other client.
func (m *offline) bound(ctx context.Context, a sm.Answers, b sm.Binding) (sm.Answers, hooks.Flow) {
	t, user := m.host.Hooks(), b.Session.JID.Bare()
	if !sm.InArchive.Heard(t) {
		return a, hooks.Next
	}
	m.flying.wait(ctx, user)
	l := m.locks.of(user)
	l.Lock()
	defer l.Unlock()
	for last, n, more := int64(0), 0, true; more && n < atOnce; n++ {
		page, rest, err := m.store.page(ctx, user, last)
		var there []int64
		for _, w := range page {
			last = w.seq
			if w.stanza != nil && (refers(w.stanza) && place(w.stanza, user) == 0 || sm.InArchive.Run(ctx, t, false, w.stanza)) {
				there = append(there, w.seq)
			}
		}
		if err == nil && len(there) > 0 {
			err = m.store.remove(ctx, user, there)
			m.counts.changed(user)
		}
		if err != nil {
			m.host.Log.Error("messages that the archive has will come a second time", "user", user.String(), "error", err)
			return a, hooks.Next
		}
		more = rest
	}
	return a, hooks.Next
}
