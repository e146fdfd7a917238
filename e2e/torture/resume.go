package main

import (
	"context"
	"strings"
	"time"
)

// faithful is in how many of ten cases a device that resumes goes to the node that it
// had, if that is there.
const faithful = 7

// visit is the login of who resumes nothing.
func visit(ctx context.Context, n *node, user, resource string) (*stream, error) {
	s, _, _, err := login(ctx, n, card{user: user, resource: resource})
	return s, err
}

// introduce learns which resource the server gives a device that cannot choose one:
// it is the same for ever.
func (d *device) introduce(ctx context.Context) error {
	if d.agent == "" {
		return nil
	}
	s, _, _, err := login(ctx, d.run.nodes[0], card{user: d.user, resource: d.resource, agent: d.agent})
	if err != nil {
		return err
	}
	_, d.resource, _ = strings.Cut(s.full, "/")
	s.leave()
	d.drainEnd(s)
	return nil
}

// drainEnd waits until the server has ended a stream that was left.
func (d *device) drainEnd(s *stream) {
	for {
		if _, err := s.next(); err != nil {
			s.conn.Close()
			return
		}
	}
}

// card is what the device logs in with.
func (d *device) card() card {
	c := card{user: d.user, resource: d.resource, agent: d.agent, resume: d.resumes}
	if d.agent != "" {
		c.resource, _, _ = strings.Cut(d.resource, "/") // its tag
	}
	return c
}

// enter gives the device a stream: the one that it had if it can be resumed, or a
// new one. It is nil if that cannot be.
func (d *device) enter(ctx context.Context) *stream {
	d.mu.Lock()
	n, prev, race := d.run.nodes[d.next%len(d.run.nodes)], d.prev, d.race
	d.race = false
	d.mu.Unlock()
	c := d.card()
	if prev != nil {
		there := prev.node.running() && !prev.node.frozen.Load()
		if race && there {
			return d.contend(ctx, prev)
		}
		if there && d.chance.IntN(10) < faithful {
			n = prev.node
		}
		c.prev, c.h = prev, prev.claim(d.chance.IntN(2) == 0)
		c.fickle = d.run.cutting.Load() && d.chance.IntN(8) == 0
	}
	began := time.Now()
	s, v, h, err := login(ctx, n, c)
	d.heard(n, prev, v, h)
	switch {
	case err != nil:
		d.run.refused(d, n, err)
		d.mu.Lock()
		d.next++
		d.mu.Unlock()
		return nil
	case v == resumed:
		d.run.figures.add("any", "a resumption", time.Since(began))
	default:
		d.run.figures.add("any", "a login", time.Since(began))
	}
	return s
}

// heard takes in what the server has said to the wish to resume. A count with a
// refusal is a promise like any other: what is in it is not sent again.
func (d *device) heard(n *node, prev *stream, v verdict, h uint32) {
	if v == unheard {
		return
	}
	what := "failed without h"
	switch {
	case v == resumed && n == prev.node:
		what = "on the same node"
	case v == resumed:
		what = "on another node"
	case v == failedWith:
		what = "failed with h"
	}
	d.run.ledger.attempted(what)
	if v == resumed {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if v == failedWith && !prev.stale(h) {
		d.acknowledged(prev, h)
	}
	d.prev = nil
}

// goOn makes a stream the device's that it has resumed: nothing is new but the
// connection, and what the server has not handled is sent again.
func (d *device) goOn(s *stream) {
	d.run.ledger.resumed(s)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stream, d.prev, d.move = s, nil, d.away
	d.acknowledged(s, s.had)
	s.repeat()
	s.request()
}

// A life is that of a stream which was resumed, up to the last time.
type life struct {
	full   string
	from   *stream // its origin
	to     time.Time
	breaks time.Time
}

// A rumour is that somebody is gone.
type rumour struct {
	who, of string // full JIDs of who was told, and of whom
	at      time.Time
	since   time.Time // since when that one was seen
}

// attempted counts an attempt to resume.
func (l *ledger) attempted(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kind := "calm"
	if n := len(l.faults); n > 0 {
		kind = l.faults[n-1].kind
	}
	l.totals.resumed[[2]string{kind, what}]++
}

// resumed enters that a stream goes on. It counts as never broken.
func (l *ledger) resumed(s *stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	origin := s.origin()
	l.lives = append(l.lives, life{full: s.full, from: origin, to: time.Now(), breaks: origin.ended})
	origin.ended = time.Time{}
	user := bare(s.full)
	for i := len(l.breaks[user]) - 1; i >= 0; i-- {
		if l.breaks[user][i].who == s.full {
			l.breaks[user] = append(l.breaks[user][:i:i], l.breaks[user][i+1:]...)
			break
		}
	}
	l.streams[s.full] = s
	l.note(s.full, "stream "+s.from.number()+" is resumed as "+s.number()+" on "+s.node.name)
}

// rumour enters that somebody was told that somebody is gone.
func (l *ledger) rumour(who, of string, since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rumours = append(l.rumours, rumour{who, of, time.Now(), since})
}

// settling is how long who was told twice about somebody may have been told of the
// stream before the last one.
const settling = 500 * time.Millisecond

// judgePresence: nobody is told that a device is gone that resumes its stream
// afterwards, unless its node was taken for dead.
func (l *ledger) judgePresence() {
	for _, r := range l.rumours {
		for _, x := range l.lives {
			if x.full != r.of || !r.since.After(x.from.began) || r.at.Sub(r.since) < settling || r.at.After(x.to) || l.faulty(r.since, r.at) != nil {
				continue
			}
			l.violate("%s was told at %s that %s is gone, who has resumed its stream at %s\n%s", r.who, l.clock(r.at), r.of, l.clock(x.to), l.lived(r.of))
			break
		}
	}
	l.lives, l.rumours = nil, nil
}

// submissions is how many messages m has been to servers.
func (m *message) submissions() (n int) {
	for _, s := range m.submitted {
		if !s.again {
			n++
		}
	}
	return n
}
