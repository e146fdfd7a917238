package targettest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gabberd/gabberd/modules/msgforward/target"
)

// An Entry is a message as it was read from a queue.
type Entry struct{ ID, Group, Type, Body, Head string }

// A Broker is a kind of queue as the suite needs it.
type Broker struct {
	URL   string // of a queue that is there and empty
	Read  func(t *testing.T) []Entry
	Clear func(t *testing.T)

	BadPassword string // a URL with a wrong password
	Missing     string // a URL of a queue that is not there; empty where queues are made as needed
	Advice      string // what the error of Missing says

	Kill, Resume, Freeze, Thaw func()
}

// Head is the header that the suite's messages have.
const Head = "Gabberd-Event"

// Run tries a kind of queue.
func Run(t *testing.T, b Broker) {
	t.Run("delivered in order", b.delivered)
	t.Run("it crashes in the middle", b.crashes)
	t.Run("ctx ends", b.ends)
	t.Run("closed while it waits", b.closes)
	t.Run("wrong password", b.password)
	t.Run("several at once", b.several)
	if b.Missing != "" {
		t.Run("missing", b.missing)
	}
}

func open(t *testing.T, url string) target.Target {
	t.Helper()
	if err := target.Check(url); err != nil {
		t.Fatal(err)
	}
	o, err := target.Open(t.Context(), url, target.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return o
}

// within is a context that ends after d.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// message is the n-th message of a group. Each test has numbers of its own, since
// a queue may tell repetitions also when it has been emptied.
func message(group string, n int) target.Message {
	return target.Message{
		ID: fmt.Sprintf("%s-%d", group, n), Group: group, Type: "application/json",
		Body: fmt.Appendf(nil, `{"n":%d,"text":"é\u0000 %s"}`, n, group), Head: map[string]string{Head: "message"},
	}
}

func entry(m target.Message) Entry {
	return Entry{m.ID, m.Group, m.Type, string(m.Body), m.Head[Head]}
}

// groups is messages of several conversations, each in order.
func groups(from, to int) []target.Message {
	var batch []target.Message
	for n := from; n < to; n++ {
		for _, g := range []string{"capulet", "montague", "verona"} {
			batch = append(batch, message(g, n))
		}
	}
	return batch
}

// inOrder checks that every message is there, each as it was sent, and that the
// groups are in order when repetitions are left out.
func (b Broker) inOrder(t *testing.T, sent []target.Message) {
	t.Helper()
	want, got, seen := map[string][]Entry{}, map[string][]Entry{}, map[string]bool{}
	for _, m := range sent {
		want[m.Group] = append(want[m.Group], entry(m))
	}
	for _, e := range b.Read(t) {
		if !seen[e.ID] {
			seen[e.ID] = true
			got[e.Group] = append(got[e.Group], e)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what was read (-sent +read):\n%s", diff)
	}
}

func (b Broker) delivered(t *testing.T) {
	b.Clear(t)
	o := open(t, b.URL)
	ctx := within(t, patience)
	sent := groups(0, 20)
	alone := target.Message{ID: "alone", Body: []byte("x"), Type: "text/plain", Head: map[string]string{Head: "y"}}
	for _, batch := range [][]target.Message{sent[:30], sent[30:31], nil, sent[31:], {alone}} {
		if err := o.Deliver(ctx, batch); err != nil {
			t.Fatal(err)
		}
	}
	b.inOrder(t, append(sent, alone))
	if n := len(b.Read(t)); n != len(sent)+1 {
		t.Errorf("%d messages were read, %d were sent", n, len(sent)+1)
	}
}

// deliver tries until the batch is taken.
func deliver(t *testing.T, o target.Target, batch []target.Message) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		err := o.Deliver(ctx, batch)
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("still not taken: %v", err)
			return
		}
		time.Sleep(10 * time.Millisecond) // as whoever tries again does
	}
}

// Nothing is lost when a server dies between and within batches. While it is away
// that is an error of Deliver, and forgotten when it is back.
func (b Broker) crashes(t *testing.T) {
	b.Clear(t)
	o, late := open(t, b.URL), open(t, b.URL)
	sent := groups(100, 500)
	done, half := make(chan bool, 1), make(chan struct{})
	go func() {
		defer func() { done <- true }()
		for i := 0; i < len(sent); i += 12 {
			if i == 120 {
				close(half)
			}
			deliver(t, o, sent[i:i+12])
		}
	}()
	<-half
	b.Kill()
	err := late.Deliver(within(t, 5*time.Second), groups(100, 101))
	if f := (*target.Final)(nil); err == nil || errors.As(err, &f) {
		t.Errorf("a server that is down: %v", err)
	}
	if len(done) > 0 {
		t.Error("all was delivered: the crash was too late")
	}
	b.Resume()
	deliver(t, late, []target.Message{message("late", 100)})
	<-done
	b.inOrder(t, append(sent, message("late", 100)))
}

// Deliver ends with its context also when the server has gone quiet, and the
// messages are taken later.
func (b Broker) ends(t *testing.T) {
	b.Clear(t)
	o := open(t, b.URL)
	deliver(t, o, groups(600, 601))
	b.Freeze()
	for range 2 { // once on a connection that is there, once on a new one
		began := time.Now()
		err := o.Deliver(within(t, 200*time.Millisecond), groups(601, 602))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
	}
	b.Thaw()
	deliver(t, o, groups(601, 603))
	b.inOrder(t, groups(600, 603))
}

// Close ends a call that waits.
func (b Broker) closes(t *testing.T) {
	b.Clear(t)
	o := open(t, b.URL)
	deliver(t, o, groups(700, 701))
	b.Freeze()
	defer b.Thaw()
	ended := make(chan error, 1)
	go func() { ended <- o.Deliver(t.Context(), groups(701, 702)) }()
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("delivered to a server that does nothing")
	}
	if err := o.Deliver(t.Context(), groups(701, 702)); err == nil {
		t.Error("delivered after Close")
	}
}

func (b Broker) password(t *testing.T) {
	err := open(t, b.BadPassword).Deliver(within(t, 10*time.Second), groups(0, 1))
	if err == nil {
		t.Fatal("a wrong password was taken")
	}
	if !strings.Contains(err.Error(), "does not let us in") || strings.Contains(err.Error(), "wr0ng") {
		t.Errorf("the error is: %v", err)
	}
	if f := (*target.Final)(nil); errors.As(err, &f) {
		t.Errorf("a password can be corrected, this is no reason to give up: %v", err)
	}
}

func (b Broker) missing(t *testing.T) {
	err := open(t, b.Missing).Deliver(within(t, 10*time.Second), groups(0, 1))
	if err == nil {
		t.Fatal("delivered to a queue that is not there")
	}
	if !strings.Contains(err.Error(), b.Advice) || strings.Contains(err.Error(), Password) {
		t.Errorf("the error is: %v", err)
	}
}

// Several goroutines may deliver, each its own conversations.
func (b Broker) several(t *testing.T) {
	b.Clear(t)
	o := open(t, b.URL)
	ctx := within(t, patience)
	var sent []target.Message
	errs := make(chan error)
	for g := range 8 {
		var batch []target.Message
		for n := range 20 {
			batch = append(batch, message(fmt.Sprintf("group%d", g), n))
		}
		sent = append(sent, batch...)
		go func() { errs <- errors.Join(o.Deliver(ctx, batch[:10]), o.Deliver(ctx, batch[10:])) }()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	b.inOrder(t, sent)
}
