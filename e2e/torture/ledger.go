package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// A message is one that a device has made up, with all that became of it. The
// ledger's mutex guards it.
type message struct {
	id        string
	from, to  string // full JID of the sender; what it is addressed to
	seq       int    // among those of from to to
	round     int
	submitted []submission // again after every broken stream
	acked     time.Time    // zero if the server has not acknowledged it
	arrived   []*arrival
	bounced   []string // conditions of the errors that came back
}

// user is the bare JID that it is addressed to.
func (m *message) user() string { return bare(m.to) }

// A submission is a message written to a server.
type submission struct {
	at    time.Time
	on    *stream
	again bool // after a resumption: to the server it is the one of before
}

// An arrival is a copy of a message that a device has received.
type arrival struct {
	at      time.Time
	by      *device
	on      *stream
	number  uint32 // among the stanzas of the stream
	sid     string // stanza-id by the recipient; empty without
	delayed bool
	early   bool      // before the server had heard of the device's presence
	acked   time.Time // when it was acknowledged to the server; zero if not
	proved  time.Time // when the server had certainly read that; zero if it never said so
	late    bool      // an earlier one of the pair came after a later one
}

// A fault is something that went wrong on purpose.
type fault struct {
	kind         string
	what         string
	began, ended time.Time // ended: when everything was as before; zero if it still lasts
}

// overlaps reports whether the fault had effect between two moments.
func (f *fault) overlaps(from, to time.Time) bool {
	return f.began.Before(to) && (f.ended.IsZero() || f.ended.After(from))
}

// An event is the beginning or the end of a device's stream.
type event struct {
	at   time.Time
	who  string // full JID
	what string
}

// maxDiary is how many events are kept for histories.
const maxDiary = 1000

// excuses reports whether a copy may come again because of the fault: a process died
// or stood still, or Redis was lost.
func (f *fault) excuses() bool {
	for _, kind := range []string{"kill", "freeze", "redis", "flush"} {
		if strings.HasPrefix(f.kind, kind) {
			return true
		}
	}
	return false
}

// pair is two parties of whom order is asked: who sent, what they addressed, and
// the device that received.
type pair struct {
	from, to string
	at       *device
}

// A ledger has what was sent and what became of it.
type ledger struct {
	start time.Time
	alone bool // there is no cluster

	mu        sync.Mutex
	round     int
	messages  map[string]*message // those of this round and the one before
	seqs      map[pair]int        // the last made up; no device
	last      map[pair]*message   // the last of those that arrived in order
	streams   map[string]*stream  // of each full JID, while it lasts
	breaks    map[string][]event  // ends of streams, by user
	diary     []event             // the latest beginnings and ends of streams
	faults    []*fault
	judged    time.Time // when the laws were last applied
	broken    []string  // laws that were, with histories
	totals    totals
	lives     []life                  // of streams that were resumed
	rumours   []rumour                // that somebody is gone
	waited    map[string]int          // messages that waited for somebody who was there, by fault
	latencies map[int][]time.Duration // by round
}

// totals are counted over the whole run.
type totals struct {
	sent, submitted, acked, arrived, copies int
	lost, reordered, doubled                int // against the laws
	untold                                  int // times that a friend was not told that somebody is gone
	bounced                                 map[string]int
	repeated                                map[string]int    // why a copy came again
	resumed                                 map[[2]string]int // by fault, and what became of the attempt
}

func newLedger() *ledger {
	return &ledger{
		breaks: map[string][]event{},
		start:  time.Now(), messages: map[string]*message{}, seqs: map[pair]int{}, last: map[pair]*message{},
		streams:   map[string]*stream{},
		latencies: map[int][]time.Duration{}, waited: map[string]int{},
		totals: totals{bounced: map[string]int{}, repeated: map[string]int{}, resumed: map[[2]string]int{}},
	}
}

// connected enters the beginning of a stream.
func (l *ledger) connected(s *stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.streams[s.full] = s
	l.note(s.full, fmt.Sprintf("stream %d begins on %s", s.serial, s.node.name))
}

// disconnected enters its end.
func (l *ledger) disconnected(s *stream, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ended := time.Now()
	s.origin().ended = ended
	if l.streams[s.full] == s {
		delete(l.streams, s.full)
	}
	user := bare(s.full)
	l.breaks[user] = append(l.breaks[user], event{ended, s.full, ""})
	l.note(s.full, fmt.Sprintf("stream %d on %s ends: %v", s.serial, s.node.name, why))
}

func (l *ledger) note(who, what string) {
	if len(l.diary) >= maxDiary {
		l.diary = l.diary[maxDiary/2:]
	}
	l.diary = append(l.diary, event{time.Now(), who, what})
}

// online are the full JIDs that have a stream.
func (l *ledger) online() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.streams))
}

// compose makes up the next message of a sender to somebody.
func (l *ledger) compose(from, to string) *message {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := pair{from: from, to: to}
	l.seqs[p]++
	m := &message{id: fmt.Sprintf("%s>%s#%d", from, to, l.seqs[p]), from: from, to: to, seq: l.seqs[p], round: l.round}
	l.messages[m.id] = m
	l.totals.sent++
	return m
}

func (l *ledger) submitted(m *message, on *stream, again bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m.submitted = append(m.submitted, submission{time.Now(), on, again})
	l.totals.submitted++
}

// acknowledged takes note that the server has taken responsibility.
func (l *ledger) acknowledged(list []*message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range list {
		if m.acked.IsZero() {
			m.acked = time.Now()
			l.totals.acked++
		}
	}
}

// toldOf takes note that arrivals were acknowledged to the server.
func (l *ledger) toldOf(list []*arrival) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range list {
		a.acked = time.Now()
	}
}

// confirmed takes note that the server has read an acknowledgement.
func (l *ledger) confirmed(list []*arrival) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range list {
		a.proved = time.Now()
	}
}

// arrive enters a copy and returns its message, nil if there is none of that id.
func (l *ledger) arrive(id string, a *arrival) *message {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.messages[id]
	if m == nil {
		l.violate("%s received %q, which nobody sent lately", a.on.full, id)
		return nil
	}
	if len(m.arrived) == 0 {
		l.totals.arrived++
		if len(m.submitted) > 0 {
			l.latencies[l.round] = append(l.latencies[l.round], a.at.Sub(m.submitted[0].at))
		}
	}
	l.totals.copies++
	m.arrived = append(m.arrived, a)
	l.inOrder(m, a)
	return m
}

// bounce enters an error that came back to the sender, and returns the message.
func (l *ledger) bounce(id, condition string) *message {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.messages[id]
	if m == nil {
		l.violate("an error (%s) came for %q, which nobody sent lately", condition, id)
		return nil
	}
	m.bounced = append(m.bounced, condition)
	l.totals.bounced[condition]++
	return m
}

// begin enters a fault.
func (l *ledger) begin(kind, what string) *fault {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := &fault{kind: kind, what: what, began: time.Now()}
	l.faults = append(l.faults, f)
	return f
}

// end takes note that everything is as it was before the fault.
func (l *ledger) end(f *fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f.ended = time.Now()
}

// undelivered is what this round's messages lack; empty when all have been
// acknowledged to their senders and have arrived.
func (l *ledger) undelivered() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var unacked, missing int
	var one *message
	for _, m := range l.messages {
		if m.acked.IsZero() {
			unacked++
		}
		if len(m.arrived) == 0 {
			missing++
		}
		if (m.acked.IsZero() || len(m.arrived) == 0) && (one == nil || m.id < one.id) {
			one = m
		}
	}
	if one == nil {
		return ""
	}
	return fmt.Sprintf("%d messages have not arrived, %d are not acknowledged, for one\n%s", missing, unacked, l.history(one))
}

// spooled are the users for whom messages were acknowledged that have not arrived,
// if that is all that is missing, and how many messages. They are where messages wait
// for who is not there, or lost.
func (l *ledger) spooled() (users []string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.messages {
		switch {
		case m.acked.IsZero():
			return nil, 0
		case len(m.arrived) > 0:
		case !slices.Contains(users, m.user()):
			users = append(users, m.user())
			fallthrough
		default:
			n++
		}
	}
	return users, n
}

// turn begins the next round; messages of the one before the last are forgotten.
func (l *ledger) turn() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.round++
	clear(l.breaks)
	for id, m := range l.messages {
		if m.round < l.round-1 {
			delete(l.messages, id)
		}
	}
}

// violate enters a broken law; whoever calls holds mu.
func (l *ledger) violate(format string, args ...any) {
	if len(l.broken) < maxBroken {
		l.broken = append(l.broken, fmt.Sprintf("%s ", l.clock(time.Now()))+fmt.Sprintf(format, args...))
	}
}

// maxBroken is how many broken laws are described; one mistake breaks many.
const maxBroken = 6

// accuse enters a broken law.
func (l *ledger) accuse(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.violate(format, args...)
}

// clock is a moment as the histories have it, the time of day as in the servers'
// logs behind it.
func (l *ledger) clock(t time.Time) string {
	return fmt.Sprintf("%9.3fs %s", t.Sub(l.start).Seconds(), t.Format("15:04:05.000"))
}

func bare(jid string) string {
	b, _, _ := strings.Cut(jid, "/")
	return b
}
