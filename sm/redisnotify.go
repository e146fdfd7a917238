package sm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/gabberd/gabberd/xmpp"
)

// maxNotice is longer than any notice of ours.
const maxNotice = 8 << 10

// A waiter waits for a session on another node to end.
type waiter struct {
	user xmpp.JID
	done chan struct{}
}

// publish tells all nodes. That it may fail is part of it: every subscription
// begins with dropping what is known.
func (r *Redis) publish(ctx context.Context, n notice) {
	n.Node = r.nodes.Name()
	if err := r.client.Publish(ctx, r.client.Key("sm"), n.String()).Err(); err != nil {
		r.log.Debug("notice could not be published", "user", n.Drop, "error", err)
	}
}

// heard is what happens with each message on the channel.
func (r *Redis) heard(payload string) {
	n, user, err := readNotice(payload)
	if err != nil {
		r.foreign.found(r.client.Key("sm"), "", err)
		return
	}
	if user.Domain() != r.domain {
		return // another virtual host
	}
	id, _ := parseID(n.Gone)
	if n.Node != r.nodes.Name() || n.Gone != "" && id.Node != n.Node {
		r.cache.drop(user) // of what this node does with its own sessions nothing is cached
	}
	if n.Gone != "" {
		r.ended(id)
	}
	if n.Again {
		for _, s := range r.mem.Local(user) {
			if r.writes.add(r.newWrite(touch, s)) != nil {
				r.behind.Store(true)
			}
		}
	}
}

func readNotice(payload string) (n notice, user xmpp.JID, err error) {
	if len(payload) > maxNotice {
		return n, user, fmt.Errorf("%w: a notice of %d bytes", errNotOurs, len(payload))
	}
	if err := json.Unmarshal([]byte(payload), &n); err != nil {
		return n, user, fmt.Errorf("%w: a notice that is not JSON: %w", errNotOurs, err)
	}
	if n.V != recordVersion {
		return n, user, fmt.Errorf("%w: a notice of version %d", errNotOurs, n.V)
	}
	if user, err = xmpp.Parse(n.Drop); err != nil || !user.IsBare() {
		return n, user, errors.Join(fmt.Errorf("%w: a notice about nobody", errNotOurs), err)
	}
	return n, user, nil
}

// subscribed is called when notifications come in from now on. What was missed
// before is made up for.
func (r *Redis) subscribed() {
	r.cache.dropAll(true)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.gone) == 0 || r.closed {
		return
	}
	users := map[xmpp.JID]struct{}{}
	for _, w := range r.gone {
		users[w.user] = struct{}{}
	}
	r.work.Go(func() {
		for user := range users {
			if r.check(user) != nil {
				return // Redis has gone away again
			}
		}
	})
}

// Gone is closed when the session of user with that ID, on another node, is not in
// Redis any more, or the store is closed. It does not wait.
func (r *Redis) Gone(user xmpp.JID, id ID) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.gone[id]
	if w != nil {
		return w.done
	}
	w = &waiter{user.Bare().Clone(), make(chan struct{})}
	if r.closed {
		close(w.done)
		return w.done
	}
	r.gone[id] = w
	r.work.Go(func() { _ = r.check(w.user) }) // with an error it is checked again later
	return w.done
}

// ended tells who waits for the session with that ID.
func (r *Redis) ended(id ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w := r.gone[id]; w != nil {
		close(w.done)
		delete(r.gone, id)
	}
}

// check tells those who wait for sessions of user that are not there any more.
func (r *Redis) check(user xmpp.JID) error {
	all, err := r.Fresh(user)
	if err != nil {
		return err
	}
	there := map[ID]bool{}
	for _, s := range all {
		there[s.ID] = true
	}
	r.mu.Lock()
	var over []ID
	for id, w := range r.gone {
		if w.user == user && !there[id] {
			over = append(over, id)
		}
	}
	r.mu.Unlock()
	for _, id := range over {
		r.ended(id)
	}
	return nil
}
