package msgforward

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/modules/msgforward/target"
)

// commands are what an operator can do about forwarding.
func (m *module) commands() []admin.Command {
	return []admin.Command{
		admin.New("forward_status", "Show how the destinations of forwarding do.", m.status).Tags("forward").EachHost().
			Long("Counters begin with the start of the module, on this node. Another node of a cluster may be the one that works on a queue. Ratios are the messages that failed of those that were tried in the last 1, 15 and 60 minutes.").
			Result("destinations", "destination"),
		admin.New("forward_list_dead", "List messages that could not be forwarded.", m.listDead).Tags("forward").EachHost().
			Result("letters", "letter"),
		admin.New("forward_retry", "Try messages again that could not be forwarded.", m.retry).Tags("forward").EachHost().
			Result("retried").Example("1", "1795829012345678"),
		admin.New("forward_drop", "Forget messages that could not be forwarded.", m.drop).Tags("forward").EachHost().
			Result("dropped").Example("1", "1795829012345678"),
		admin.New("forward_replay", "Forward messages of the archive once more.", m.replay).Tags("forward").EachHost().
			Long("Messages that the archive has of that time go into the queues of the destinations that want them, with the ids that they had. Those that wait anyway, and dead letters, stay as they are.").
			Result("queued").Example("17", "2026-03-01T12:30:00Z", "2026-03-01T13:00:00Z"),
		admin.New("forward_test", "Send a marked sample to a destination, past its queue.", m.test).Tags("forward").EachHost().
			Example("localhost: 200 OK", "default"),
	}
}

// A state is a destination as an operator sees it.
type state struct {
	Host        string     `json:"host"`
	Destination string     `json:"destination"`
	State       admin.Atom `json:"state"` // well, ill, or elsewhere: another node works on it
	Delivered   int64      `json:"delivered"`
	Retried     int64      `json:"retried"`
	Failed      int64      `json:"failed"`
	Dead        int64      `json:"dead"`
	Queue       int64      `json:"queue"`
	Oldest      int64      `json:"oldest"` // seconds
	Ratio1      string     `json:"failed_1m"`
	Ratio15     string     `json:"failed_15m"`
	Ratio60     string     `json:"failed_60m"`
	P50         string     `json:"p50"`
	P99         string     `json:"p99"`
	LastError   string     `json:"last_error"`
}

func (m *module) status(ctx context.Context, _ admin.NoArgs) ([]state, error) {
	out := []state{}
	for i, f := range m.figures() {
		// The workers count now and then; an operator wants to know it now.
		n, err := m.counts(ctx, m.lines[i])
		if err != nil {
			return nil, err
		}
		s := state{
			Host: f.Host, Destination: f.Destination, State: "well", Delivered: f.Delivered, Retried: f.Retried, Failed: f.Failed,
			Dead: n.dead, Queue: n.waiting, Ratio1: percent(f.Ratio1), Ratio15: percent(f.Ratio15), Ratio60: percent(f.Ratio60),
			P50: f.P50.Round(time.Microsecond * 10).String(), P99: f.P99.Round(time.Microsecond * 10).String(), LastError: f.LastError,
		}
		if n.waiting > 0 {
			s.Oldest = int64(time.Since(time.UnixMicro(n.oldest)) / time.Second)
		}
		if f.LastError != "" {
			s.LastError += " (" + f.LastErrorAt.UTC().Format(time.RFC3339) + ")"
		}
		switch {
		case !f.Working:
			s.State = "elsewhere"
		case f.Ill:
			s.State = "ill"
		}
		out = append(out, s)
	}
	return out, nil
}

func percent(r float64) string { return strconv.FormatFloat(100*r, 'f', 1, 64) + "%" }

// counts is what waits and is dead in all databases.
func (m *module) counts(ctx context.Context, l *line) (sum numbers, err error) {
	for _, w := range m.crew.of(l) {
		n, err := w.store.count(ctx)
		if err != nil {
			return sum, err
		}
		sum.add(n)
	}
	return sum, nil
}

type someDead struct{ Limit int }

// Fields declares the arguments.
func (a *someDead) Fields(f *config.Fields) {
	f.Int(&a.Limit, "limit", 100, "How many of each destination, newest first.").Optional().Must(config.Between(1, 10_000))
}

// A dead letter as an operator sees it.
type deadLetter struct {
	ID          string `json:"id"`
	Host        string `json:"host"`
	Destination string `json:"destination"`
	From        string `json:"from"`
	To          string `json:"to"`
	Stored      string `json:"stored"`
	Died        string `json:"died"`
	Tries       int    `json:"tries"`
	Why         string `json:"why"`
}

func (m *module) listDead(ctx context.Context, in someDead) ([]deadLetter, error) {
	out := []deadLetter{}
	var list []store
	for _, l := range m.lines {
		for _, w := range m.crew.of(l) {
			list = append(list, w.store)
		}
	}
	others, err := m.abandoned(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range append(list, others...) {
		letters, err := s.deadLetters(ctx, in.Limit)
		if err != nil {
			return nil, err
		}
		for _, x := range letters {
			out = append(out, m.letter(s.destination(), x))
		}
	}
	return out, nil
}

func (m *module) letter(destination string, x letter) deadLetter {
	d := deadLetter{ID: x.key, Host: m.host.Domain, Destination: destination, Tries: x.tries, Why: x.why,
		Stored: time.UnixMicro(x.created).UTC().Format(time.RFC3339), Died: time.UnixMicro(x.died).UTC().Format(time.RFC3339)}
	if e, err := decode(x.data); err == nil {
		d.From, d.To = e.stanza.From.String(), e.stanza.To.String()
	}
	return d
}

type which struct{ ID string }

// Fields declares the arguments.
func (a *which) Fields(f *config.Fields) {
	f.String(&a.ID, "id", "", "The id that forward_list_dead shows, or `all`.").Must(config.NotEmpty[string]())
}

// key is the id, empty for all.
func (a which) key() string {
	if a.ID == "all" {
		return ""
	}
	return a.ID
}

func (m *module) retry(ctx context.Context, in which) (int64, error) {
	var sum int64
	for _, l := range m.lines {
		for _, w := range m.crew.of(l) {
			n, err := w.revive(ctx, in.key(), time.Now())
			if err != nil {
				return sum, err
			}
			sum += n
		}
	}
	if sum > 0 {
		Revived.Run(ctx, m.host.Hooks(), m.host.JID)
		return sum, nil
	}
	list, err := m.abandoned(ctx)
	for _, s := range list {
		dead, err := s.isDead(ctx, in.key())
		if err != nil {
			return 0, err
		}
		if dead {
			return 0, admin.Failed.With("%s has no destination %s any more: configure it again to try its messages, or drop them", m.host.Domain, s.destination())
		}
	}
	return 0, err
}

func (m *module) drop(ctx context.Context, in which) (int64, error) {
	list, err := m.abandoned(ctx)
	if err != nil {
		return 0, err
	}
	for _, l := range m.lines {
		for _, w := range m.crew.of(l) {
			list = append(list, w.store)
		}
	}
	var sum int64
	for _, s := range list {
		n, err := s.dropDead(ctx, in.key())
		if sum += n; err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// abandoned is the queues of destinations that are not configured any more, in order.
func (m *module) abandoned(ctx context.Context) (out []store, err error) {
	ours := map[string]bool{}
	for _, l := range m.lines {
		ours[queueOf(l.name)] = true
	}
	for _, db := range m.crew.places() {
		found, err := strangers(ctx, db, ours)
		if err != nil {
			return nil, err
		}
		for _, queue := range slices.Sorted(maps.Keys(found)) {
			out = append(out, store{db, queue})
		}
	}
	return out, nil
}

type toDestination struct{ Destination string }

// Fields declares the arguments.
func (a *toDestination) Fields(f *config.Fields) {
	f.String(&a.Destination, "destination", defaultName, "The name of the destination.")
}

func (m *module) test(ctx context.Context, in toDestination) (admin.Restuple, error) {
	l := m.line(in.Destination)
	if l == nil {
		return admin.Restuple{}, admin.NotFound.With("%s has no destination %s", m.host.Domain, in.Destination)
	}
	now := time.Now()
	id := "test-" + strconv.FormatInt(now.UnixMicro(), 10)
	msg, err := l.message(m.host.Domain, id, "", sample(m.host.JID, now))
	if err != nil {
		return admin.Restuple{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, l.Timeout)
	defer cancel()
	text := "taken"
	if w, ok := l.target.(*webhook); ok {
		var a answer
		a, err = w.post(ctx, []target.Message{msg})
		text = a.String()
	} else {
		err = l.target.Deliver(ctx, []target.Message{msg})
	}
	if err != nil {
		return admin.Restuple{}, admin.Failed.With("%s: %s did not take the sample: %v", m.host.Domain, l.name, err)
	}
	return admin.Restuple{Text: m.host.Domain + ": " + text}, nil
}

// line is the destination of that name, nil if there is none.
func (m *module) line(name string) *line {
	for _, l := range m.lines {
		if l.name == name {
			return l
		}
	}
	return nil
}

// String is what a server said, on one line and without what a terminal would take
// for an order.
func (a answer) String() string {
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(a.Text, "?"))
	return strings.TrimSpace(fmt.Sprintf("%d %s %s", a.Status, http.StatusText(a.Status), text))
}
