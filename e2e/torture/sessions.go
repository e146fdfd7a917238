package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// answering are the nodes that can be asked.
func (r *run) answering() []*node {
	return slices.DeleteFunc(slices.Clone(r.nodes), func(n *node) bool { return !n.running() || n.frozen.Load() })
}

// ghosts is on which nodes the list of sessions is not what is true; empty when all
// of them list every session once, and none that is gone.
func (r *run) ghosts(ctx context.Context) string {
	for _, n := range r.answering() {
		list, err := n.ctl(ctx, "connected_users")
		if err != nil {
			return err.Error()
		}
		if diff := difference(list, r.ledger.online()); diff != "" {
			return n.name + " lists" + diff
		}
	}
	return ""
}

// difference is what a list of sessions has too much or too little.
func difference(have, want []string) string {
	left := slices.Clone(want)
	var b strings.Builder
	for _, jid := range have {
		if i := slices.Index(left, jid); i >= 0 {
			left = slices.Delete(left, i, i+1)
		} else {
			b.WriteString(" too much " + jid)
		}
	}
	for _, jid := range left {
		b.WriteString(" not " + jid)
	}
	return b.String()
}

// bound is how many times two nodes are given the same resource in one round.
const bound = 20

// bind has one resource bound on two nodes at the same moment, again and again:
// exactly one of the sessions must remain, and all nodes must know which.
func (r *run) bind(ctx context.Context, f *fault) error {
	for i := range bound {
		a := r.nodes[i%len(r.nodes)]
		b := r.nodes[(i+1)%len(r.nodes)]
		if err := r.bindTwice(ctx, f, a, b); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) bindTwice(ctx context.Context, f *fault, a, b *node) error {
	streams, errs := make([]*stream, 2), make([]error, 2)
	var both sync.WaitGroup
	began := time.Now()
	for i, n := range []*node{a, b} {
		both.Go(func() { streams[i], errs[i] = visit(ctx, n, "twin", "same") })
	}
	both.Wait()
	for i, s := range streams {
		if s == nil {
			continue
		}
		s.ledger = r.ledger
		both.Go(func() { r.listen(s, errs[i]) })
	}
	defer func() {
		for _, s := range streams {
			if s != nil {
				s.end(errLeft)
			}
		}
		both.Wait()
	}()
	if errs[0] != nil && errs[1] != nil {
		return fmt.Errorf("two logins with one resource, and both were refused: %w", errors.Join(errs...))
	}
	err := r.until(ctx, "one of two sessions with one resource to end", func(context.Context) string {
		switch living := alive(streams); living {
		case 0:
			r.ledger.accuse("both sessions of twin@%s/same ended: on %s %v, on %s %v", domain, a.name, ending(streams[0], errs[0]), b.name, ending(streams[1], errs[1]))
			return "a session"
		case 1:
			return ""
		default:
			return fmt.Sprintf("%d live, on %s and %s", living, a.name, b.name)
		}
	})
	if err != nil {
		return err
	}
	r.figures.add(f.kind, "one of two sessions with one resource has ended", time.Since(began))
	return r.untilListed(ctx, "twin@"+domain+"/same", 1)
}

// ending is how a login that was to be one of two came to its end.
func ending(s *stream, err error) error {
	if s == nil {
		return err
	}
	return s.over()
}

func alive(list []*stream) int {
	n := 0
	for _, s := range list {
		if s != nil && s.over() == nil {
			n++
		}
	}
	return n
}

// listen reads a stream that is no device's until it ends.
func (r *run) listen(s *stream, _ error) {
	for {
		if _, err := s.next(); err != nil {
			s.end(err)
			return
		}
	}
}

// untilListed waits until every node lists a full JID so many times.
func (r *run) untilListed(ctx context.Context, jid string, times int) error {
	return r.until(ctx, fmt.Sprintf("every node to list %s %d times", jid, times), func(ctx context.Context) string {
		for _, n := range r.answering() {
			list, err := n.ctl(ctx, "connected_users")
			if err != nil {
				return err.Error()
			}
			have := 0
			for _, x := range list {
				if x == jid {
					have++
				}
			}
			if have != times {
				return fmt.Sprintf("%s lists it %d times", n.name, have)
			}
		}
		return ""
	})
}

// kick has an operator on one node end the sessions of users who are on another.
func (r *run) kick(ctx context.Context, f *fault) error {
	for range 4 {
		d := r.devices[r.chance.IntN(len(r.devices))]
		before := d.current()
		if before == nil {
			continue // on its way from the last one
		}
		at := r.nodes[r.chance.IntN(len(r.nodes))]
		for at == before.node && len(r.nodes) > 1 {
			at = r.nodes[r.chance.IntN(len(r.nodes))]
		}
		r.ledger.describe(f, fmt.Sprintf("%s by %s, who is on %s", d.bare(), at.name, before.node.name))
		began := time.Now()
		if _, err := at.ctl(ctx, "kick_user", d.user, domain); err != nil {
			return err
		}
		err := r.until(ctx, "a session to be kicked: "+d.full(), func(context.Context) string {
			if before.over() == nil {
				return "it lives"
			}
			return ""
		})
		if err != nil {
			return err
		}
		r.figures.add(f.kind, "kicked on another node", time.Since(began))
		if err := r.until(ctx, "devices to come back", r.absent); err != nil {
			return err
		}
	}
	return nil
}

// vanish has clients lose their network, as telephones do: the connection stays, and
// nobody reads it. They come back on another node or the same, with the same resource.
func (r *run) vanish(ctx context.Context, f *fault) error {
	for range 3 {
		began := time.Now()
		for i, d := range r.devices {
			if s := d.current(); s != nil && r.chance.IntN(2) == 0 {
				d.tell(func() {
					d.vanish = true
					d.next = (slices.Index(r.nodes, s.node) + i%2) % len(r.nodes)
				})
			}
		}
		if err := pass(ctx, time.Second); err != nil {
			return err
		}
		if err := r.settled(ctx); err != nil {
			return err
		}
		r.figures.add(f.kind, "all who lost their network are back", time.Since(began))
	}
	r.find()
	return nil
}

// unbroken has devices keep their streams through what happens. It is asked before,
// and what it returns after.
func (r *run) unbroken(through string) (check func()) {
	before := map[*device]*stream{}
	for _, d := range r.devices {
		before[d] = d.current()
	}
	return func() {
		for _, d := range r.devices {
			if s := before[d]; s != nil && s.over() != nil && !errors.Is(s.over(), errSilent) {
				r.ledger.accuse("%s lost its stream %d on %s during %s, which concerns no client: %v", d.full(), s.serial, s.node.name, through, s.over())
			}
		}
	}
}

// newcomers looks whether people can log in on every node and talk to each other
// there, whatever the state of Redis.
func (r *run) newcomers(ctx context.Context, f *fault) error {
	for _, n := range r.answering() {
		began := time.Now()
		if err := r.greet(ctx, n); err != nil {
			return fmt.Errorf("%s, %s: %w", f.kind, n.name, err)
		}
		r.figures.add(f.kind, "two logins and a message on one node meanwhile", time.Since(began))
	}
	return nil
}

// greet logs two users in on a node and has one write to the other.
func (r *run) greet(ctx context.Context, n *node) error {
	var ends []*stream
	defer func() {
		for _, s := range ends {
			s.end(errLeft)
		}
	}()
	for _, user := range []string{"probe1", "probe2"} {
		var s *stream
		err := r.until(ctx, user+" to log in", func(ctx context.Context) string {
			var err error
			if s, err = visit(ctx, n, user, n.name[:3]); err != nil {
				return err.Error()
			}
			return ""
		})
		if err != nil {
			return err
		}
		s.ledger = r.ledger
		ends = append(ends, s)
	}
	arrived := make(chan error, 1)
	go func() {
		for {
			el, err := ends[1].next()
			if err != nil || el.XMLName.Local == "message" && el.attr("id") == "greeting" {
				arrived <- err
				return
			}
		}
	}()
	ends[0].stanza("<message type='chat' id='greeting' to='"+ends[1].full+"'><body>hello</body></message>", nil)
	select {
	case err := <-arrived:
		return err
	case <-time.After(patience):
		ends[1].end(errLeft)
		<-arrived
		return fmt.Errorf("a message within a node did not arrive in %v", patience)
	case <-ctx.Done():
		ends[1].end(errLeft)
		<-arrived
		return ctx.Err()
	}
}
