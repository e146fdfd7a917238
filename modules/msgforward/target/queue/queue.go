// Package queue says what a message queue is as a destination of mod_msg_forward:
// the words that package target and the clients of each kind of queue share. Those
// who deliver messages use package target.
package queue

import (
	"context"
	"crypto/tls"
	"log/slog"
	"time"
)

// A Message is what is forwarded.
type Message struct {
	ID    string            // the same over all tries: what repetitions are told apart by
	Group string            // the conversation, within which order holds; empty where order does not matter
	Type  string            // content type of Body
	Body  []byte            // in the destination's format
	Head  map[string]string // headers that go with it
}

// A Target takes messages.
type Target interface {
	// Deliver returns nil when all of the batch are taken for good: written
	// where the queue keeps its messages, as far as its own configuration
	// goes. The error is a *Final when trying again is of no use, a *Later when
	// it is known when to try again, and any other when it is worth another try.
	// After an error some of the batch may have been taken: who tries again gives
	// the same messages in the same order, and those who read from the queue tell
	// repetitions by the id. A batch of several that is refused as Final should be
	// given again one by one, to find which of them it is about.
	//
	// Messages of a group are taken in the order of the batch, and before those of
	// a call that begins when this one has ended. It blocks until ctx ends at most,
	// and may be called by several goroutines. Connections are made and made again
	// as they are needed. No error shows a password.
	Deliver(ctx context.Context, batch []Message) error
	// Close gives up connections. It ends calls of Deliver and may block for some
	// seconds; nothing may be called after it.
	Close() error
}

// Final is an error after which trying again is of no use.
type Final struct{ Err error }

// Error is that of Err.
func (e *Final) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *Final) Unwrap() error { return e.Err }

// Later is an error of somebody who has said when to try again.
type Later struct {
	Err   error
	After time.Duration
}

// Error is that of Err.
func (e *Later) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *Later) Unwrap() error { return e.Err }

// Options are what a target needs beside its URL.
type Options struct {
	TLS *tls.Config  // for URLs that ask for TLS; nil takes the system's authorities
	Log *slog.Logger // nil is silent
}

// TLSFor is the configuration for connections to hosts of any name: who connects
// sets the name.
func (o Options) TLSFor() *tls.Config {
	if o.TLS == nil {
		return &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return o.TLS.Clone()
}

// Waves splits a batch so that no wave has two messages of a group and each group
// keeps its order. Who waits for a wave to be taken before he sends the next keeps
// order also where a queue refuses one message and takes the one behind it.
func Waves(batch []Message) [][]Message {
	var waves [][]Message
	depth := map[string]int{}
	for _, m := range batch {
		wave := 0
		if m.Group != "" {
			wave = depth[m.Group]
			depth[m.Group]++
		}
		if wave == len(waves) {
			waves = append(waves, nil)
		}
		waves[wave] = append(waves[wave], m)
	}
	return waves
}
