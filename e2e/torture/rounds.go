package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// patience is how long, unless told otherwise, a run goes on in which nothing changes although something
// must. It is no measure of speed: it is spent in full only by a run that fails.
const patience = 90 * time.Second

// until waits until look finds that nothing is missing. It gives up when what is
// missing has been the same for long.
func (r *run) until(ctx context.Context, what string, look func(context.Context) string) error {
	var last string
	since := time.Now()
	for {
		missing := look(ctx)
		if missing == "" {
			return nil
		}
		// Histories change with the clock; what counts is their first line.
		if head, _, _ := strings.Cut(missing, "\n"); head != last {
			last, since = head, time.Now()
		}
		if time.Since(since) > r.idle {
			return fmt.Errorf("waited for %s, and for %v nothing has changed: %s", what, r.idle, missing)
		}
		for _, n := range r.nodes {
			if n.fallen() {
				return fmt.Errorf("%s has ended by itself: %v\n%s", n.name, n.ended(), n.logTail(4000))
			}
		}
		if r.accused() {
			return fmt.Errorf("did not wait any longer for %s", what)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// accused reports whether a law was broken.
func (r *run) accused() bool {
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	return len(r.ledger.broken) > 0
}

// rounds has every fault happen once, and goes on as long as there is time.
func (r *run) rounds(ctx context.Context) error {
	if err := r.settled(ctx); err != nil {
		return err
	}
	list := slices.Clone(r.faults)
	for end := time.Now().Add(r.lasting); ; {
		for _, kind := range list {
			if err := r.one(ctx, kind); err != nil {
				return fmt.Errorf("around %s: %w", kind, err)
			}
		}
		if time.Now().After(end) {
			return nil
		}
		r.chance.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
}

// one is a round: load, a fault under load, load again, silence, judgement.
func (r *run) one(ctx context.Context, kind string) error {
	happen, ok := r.kinds()[kind]
	if !ok {
		return fmt.Errorf("there is no such fault; there are %s", strings.Join(r.known(), ", "))
	}
	began := time.Now()
	r.ledger.turn()
	r.load.Store(true)
	if err := r.traffic(ctx); err != nil {
		return err
	}
	f := r.ledger.begin(kind, "")
	if err := happen(ctx, f); err != nil {
		return err
	}
	if err := r.traffic(ctx); err != nil {
		return err
	}
	r.load.Store(false)
	for _, d := range r.devices {
		d.comeBack()
	}
	quiet := time.Now()
	if err := r.delivered(ctx, kind); err != nil {
		return err
	}
	r.figures.add(kind, "last message delivered after the load", time.Since(quiet))
	if err := r.settled(ctx); err != nil {
		return err
	}
	r.ledger.end(f)
	r.ledger.judge()
	for _, d := range r.devices {
		d.goHome()
	}
	err := r.settled(ctx)
	r.figures.add(kind, "the whole round", time.Since(began))
	r.line(kind, time.Since(began))
	if err == nil && r.accused() {
		err = errors.New("a law was broken")
	}
	return err
}

// stored is how long it takes until messages that do not arrive may be where messages
// wait for who is not there. Being wrong about that costs a few logins.
const stored = 5 * time.Second

// delivered waits until everything has arrived. A message may have been stored for
// somebody who was there, because the server could not see them for a moment; they
// are given it when they come again.
func (r *run) delivered(ctx context.Context, kind string) error {
	before, since := 0, time.Now()
	return r.until(ctx, "everything to be delivered", func(context.Context) string {
		users, n := r.ledger.spooled()
		if n != before {
			before, since = n, time.Now()
		}
		if n > 0 && time.Since(since) > stored {
			since = time.Now()
			r.ledger.mu.Lock()
			r.ledger.waited[kind] += n
			r.ledger.mu.Unlock()
			for _, d := range r.devices {
				if slices.Contains(users, d.bare()) {
					d.tell(func() { d.move = d.stream != nil })
				}
			}
		}
		return r.ledger.undelivered()
	})
}

// traffic waits until a share of messages has been sent and has arrived.
func (r *run) traffic(ctx context.Context) error {
	r.ledger.mu.Lock()
	goal := r.ledger.totals.arrived + r.share
	r.ledger.mu.Unlock()
	return r.until(ctx, "messages to pass", func(context.Context) string {
		r.ledger.mu.Lock()
		defer r.ledger.mu.Unlock()
		if at := r.ledger.totals.arrived; at < goal {
			return fmt.Sprintf("%d of %d", at, goal)
		}
		return ""
	})
}

// settled waits until every device that shall be connected is, every node lists
// exactly those, and friends see each other as they are.
func (r *run) settled(ctx context.Context) error {
	steps := []struct {
		what string
		look func(context.Context) string
	}{
		{"devices to connect", r.absent},
		{"all nodes to list all sessions and no others", r.ghosts},
		{"friends to see each other", func(context.Context) string { return r.blind() }},
	}
	for _, s := range steps {
		if err := r.until(ctx, s.what, s.look); err != nil {
			return err
		}
	}
	return nil
}

// absent are the devices that are not as they were told to be.
func (r *run) absent(context.Context) string {
	var out []string
	for _, d := range r.devices {
		d.mu.Lock()
		if (d.stream == nil) != d.away || d.move {
			out = append(out, d.full())
		}
		d.mu.Unlock()
	}
	return strings.Join(out, " ")
}

// verdict is the error of a run in which something is wrong, nil if nothing is. It
// leaves what is known in the run's directory.
func (r *run) verdict(err error) error {
	r.ledger.mu.Lock()
	broken := slices.Clone(r.ledger.broken)
	r.ledger.mu.Unlock()
	for _, n := range r.nodes {
		if bad := n.confession(); bad != "" {
			broken = append(broken, n.name+" logged:\n"+bad)
		}
	}
	if err == nil && len(broken) == 0 {
		return nil
	}
	broken = append(broken, r.testimony()...)
	return errors.Join(err, errors.New(strings.Join(broken, "\n\n")))
}

// testimony is what the servers that are still there say of the cluster. What they
// are doing goes to their logs, and what is in Redis to a file.
func (r *run) testimony() []string {
	var out []string
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for _, n := range r.nodes {
		if !n.running() {
			continue
		}
		_ = n.signal(syscall.SIGCONT) // if it cannot be sent, nor can the next one
		if lines, err := n.ctl(ctx, "cluster"); err == nil {
			out = append(out, n.name+" says of the cluster:\n    "+strings.Join(lines, "\n    "))
		}
		if n.signal(syscall.SIGQUIT) == nil {
			<-n.gone()
		}
	}
	if r.redis != nil {
		if dump, err := r.redis.dump(ctx); err == nil {
			_ = os.WriteFile(filepath.Join(r.dir, "redis.dump"), []byte(dump), 0o600) // a help, no more
		}
	}
	return out
}
