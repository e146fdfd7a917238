package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// charging is how long word of a client's acknowledgement may take from its server
// to the one that keeps a copy of the message. If either dies within it, the copy
// may come.
const charging = 2 * time.Second

// inOrder asks of every pair that first arrivals come in the order of sending.
// Apart from that are messages that another device of the user has had before
// something broke, and those that came back to their sender; and what is addressed
// to a client that is bound and has sent no presence: that is given to it at once
// (RFC 6121 §8.5.3.1), what was kept for its user with its presence. Whoever calls
// holds mu.
func (l *ledger) inOrder(m *message, a *arrival) {
	if len(m.bounced) > 0 || a.early && !a.delayed {
		return
	}
	for _, earlier := range m.arrived[:len(m.arrived)-1] {
		if earlier.by == a.by {
			return // a repetition, for which there is another law
		}
	}
	p := pair{m.from, m.to, a.by}
	last := l.last[p]
	if last == nil || last.seq < m.seq {
		l.last[p] = m
		return
	}
	a.late = true
	if len(m.arrived) > 1 && l.disturbed(m, m.submitted[0].at, a.at) {
		return
	}
	l.totals.reordered++
	l.violate("out of order: at %s, number %d of %s to %s came after number %d\n%s%s", a.by.full(), m.seq, m.from, m.to, last.seq, l.history(last), l.history(m))
}

// disturbed reports whether there was a fault or a broken stream of those who have
// to do with m between two moments.
func (l *ledger) disturbed(m *message, from, to time.Time) bool {
	if l.faulty(from, to) != nil || len(m.submitted) > 1 {
		return true
	}
	for _, a := range m.arrived {
		if !a.on.origin().ended.IsZero() || a.on.origin().began.After(from) {
			return true
		}
	}
	return false
}

// faulty is a fault that excuses repetitions and had effect between two moments,
// nil if there was none.
func (l *ledger) faulty(from, to time.Time) *fault {
	for _, f := range slices.Backward(l.faults) {
		if f.excuses() && f.overlaps(from, to) {
			return f
		}
	}
	return nil
}

// judge applies the laws to all messages that are remembered. All of them have
// arrived or will not.
func (l *ledger) judge() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.messages {
		if m.round == l.round {
			l.judgeLoss(m)
			l.judgeAddress(m)
		}
		l.judgeIdentity(m)
		l.judgeRepetitions(m)
	}
	l.judgePresence()
	l.judged = time.Now()
}

// judgeLoss: what was acknowledged has arrived, and so has what was not, because
// its sender sends it again.
func (l *ledger) judgeLoss(m *message) {
	switch {
	case len(m.arrived) > 0:
	case len(m.bounced) > 0:
		l.violate("refused for good: %s\n%s", strings.Join(m.bounced, ", "), l.history(m))
	case !m.acked.IsZero():
		l.totals.lost++
		l.violate("LOST: acknowledged, but never arrived\n%s", l.history(m))
	default:
		l.violate("neither acknowledged nor arrived\n%s", l.history(m))
	}
}

// judgeIdentity: each submission is one message to the server, unless it was sent
// again on a stream that was resumed. So there are at most as many stanza-ids, and a
// copy without one is like one of its own. A server alone makes none.
func (l *ledger) judgeIdentity(m *message) {
	for _, user := range l.receivers(m) {
		var ids []string
		for _, a := range m.arrived {
			if a.by == user && (a.sid == "" && !l.alone || !slices.Contains(ids, a.sid)) {
				ids = append(ids, a.sid)
			}
		}
		if n := m.submissions(); len(ids) > n {
			l.totals.doubled++
			l.violate("%s received copies under %d identities %q of a message that was submitted %d times\n%s", user.full(), len(ids), ids, n, l.history(m))
		}
	}
}

// receivers are the devices that have received m.
func (l *ledger) receivers(m *message) []*device {
	var out []*device
	for _, a := range m.arrived {
		if !slices.Contains(out, a.by) {
			out = append(out, a.by)
		}
	}
	return out
}

// judgeRepetitions: a copy of what a device has had already is allowed if something
// broke in between and the server could not know that it had it.
func (l *ledger) judgeRepetitions(m *message) {
	for i, again := range m.arrived {
		if again.at.Before(l.judged) {
			continue // with the last round
		}
		for _, first := range m.arrived[:i] {
			if first.by != again.by {
				continue
			}
			l.totals.repeated[l.judgeRepetition(m, first, again)]++
			break
		}
	}
}

// judgeRepetition says why a copy came again.
func (l *ledger) judgeRepetition(m *message, first, again *arrival) string {
	if first.sid != again.sid || l.alone && m.submissions() > 1 {
		return "submitted again by its sender"
	}
	fault := l.faulty(first.at.Add(-charging), again.at)
	switch {
	case fault == nil && l.otherBroke(m, first, again):
		return "it went to a user, and another device's stream broke"
	case !first.proved.IsZero() && l.faulty(first.at.Add(-charging), first.proved.Add(charging)) == nil:
		l.totals.doubled++
		l.violate("REPEATED although its recipient had acknowledged it\n%s", l.history(m))
		return "forbidden"
	case fault == nil && first.on.origin() == again.on.origin():
		l.totals.doubled++
		l.violate("REPEATED on one stream although nothing had happened\n%s", l.history(m))
		return "forbidden"
	case fault == nil:
		return "recipient's stream broke"
	case first.on.origin() == again.on.origin():
		return fault.kind + ", on one stream"
	}
	return fault.kind
}

// otherBroke reports whether m was for all devices of a user and the stream of another
// one than that of these copies ended between them: what that one has not acknowledged
// goes to the user again.
func (l *ledger) otherBroke(m *message, first, again *arrival) bool {
	return m.to == m.user() && slices.ContainsFunc(l.breaks[m.user()], func(e event) bool {
		return e.who != first.by.full() && e.at.After(first.at.Add(-charging)) && e.at.Before(again.at.Add(charging))
	})
}

// judgeAddress: where nothing happened, a message to a full JID arrives there.
func (l *ledger) judgeAddress(m *message) {
	if m.to == m.user() || len(m.submitted) != 1 {
		return
	}
	for _, a := range m.arrived {
		if a.by.full() != m.to && !l.disturbed(m, m.submitted[0].at.Add(-charging), a.at) && l.steady(m.to, m.submitted[0].at.Add(-charging)) {
			l.violate("astray: addressed to %s, arrived at %s\n%s", m.to, a.by.full(), l.history(m))
		}
	}
}

// steady reports whether a device has had one stream since then.
func (l *ledger) steady(full string, since time.Time) bool {
	s := l.streams[full]
	return s != nil && s.origin().began.Before(since)
}

// history is all that is known of a message, in order of time. Whoever calls holds
// mu.
func (l *ledger) history(m *message) string {
	type line struct {
		at   time.Time
		what string
	}
	var lines []line
	add := func(at time.Time, format string, args ...any) {
		if !at.IsZero() {
			lines = append(lines, line{at, fmt.Sprintf(format, args...)})
		}
	}
	from, to := time.Now(), time.Now()
	for _, s := range m.submitted {
		add(s.at, "submitted%s on stream %d to %s", word(s.again, " again"), s.on.serial, s.on.node.name)
		from = s.at
	}
	if len(m.submitted) > 0 {
		from = m.submitted[0].at.Add(-5 * time.Second)
	}
	add(m.acked, "acknowledged to its sender")
	for i, a := range m.arrived {
		add(a.at, "copy %d at %s, stream %d on %s, stanza %d, stanza-id %q%s%s%s", i+1, a.by.full(), a.on.serial, a.on.node.name, a.number, a.sid, word(a.delayed, ", delayed"), word(a.early, ", before its presence"), word(a.late, ", late"))
		add(a.acked, "copy %d acknowledged to the server", i+1)
		add(a.proved, "copy %d: the server has read that", i+1)
	}
	for _, f := range l.faults {
		if f.overlaps(from, to) {
			add(f.began, "FAULT %s %s", f.kind, f.what)
			add(f.ended, "end of %s %s", f.kind, f.what)
		}
	}
	for _, e := range l.diary {
		if e.at.After(from) && (bare(e.who) == bare(m.from) || bare(e.who) == m.user()) {
			add(e.at, "%s: %s", e.who, e.what)
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
	var b strings.Builder
	fmt.Fprintf(&b, "    %s%s\n", m.id, word(len(m.bounced) > 0, fmt.Sprintf(" bounced %q", m.bounced)))
	for _, x := range lines {
		fmt.Fprintf(&b, "    %s  %s\n", l.clock(x.at), x.what)
	}
	return b.String()
}

func word(is bool, what string) string {
	if is {
		return what
	}
	return ""
}
