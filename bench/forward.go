package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/gabberd/gabberd/bench/load"
)

// forwarded are the steps with an archive from which every message is posted to a web
// server, against the same without. Messages are counted when clients have them; what
// is posted later than that costs the server all the same.
func (z size) forwarded() (steps []step) {
	job := load.Job{Workload: "chat", First: z.ring, Sessions: z.sessions, Window: 2, Warm: z.warm, Duration: z.duration}
	for _, kind := range []struct {
		on, base setting
		place    string
	}{{forwarding, archiving, ""}, {forwardPG, archivePG, ", PostgreSQL"}} {
		title := "chat, archived and forwarded" + kind.place
		steps = append(steps, step{
			name: "chat-" + string(kind.on), title: title, on: kind.on, job: job, base: "chat-" + string(kind.base),
			rows: []row{
				{title + ", per message", "cpu_us", "µs", none},
				{title + ", times the cost of archived", "times", "×", none},
				{title + ", messages a second", "per_s", "/s", none},
				{title + ", share of the messages a second of archived", "share", "×", none},
			},
		})
	}
	return steps
}

// A sink is a web server that takes whatever it is sent.
type sink struct {
	http http.Server
	url  string
}

// startSink listens on this machine.
func startSink() (*sink, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("web server to forward to: %w", err)
	}
	s := &sink{url: "http://" + ln.Addr().String() + "/"}
	s.http.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // whoever is cut off sends it again
	})
	s.http.ReadHeaderTimeout = 10 * time.Second
	go s.http.Serve(ln) // it ends with Close
	return s, nil
}

// forwardModules is the archive, and a module that forwards what is in it.
func (h *house) forwardModules() (string, error) {
	if h.sink == nil {
		s, err := startSink()
		if err != nil {
			return "", err
		}
		h.sink = s
	}
	return fmt.Sprintf("%s  mod_msg_forward: {url: %q, batch: 50, concurrency: 4}\n", gabberdArchives, h.sink.url), nil
}

// newGabberdForward keeps an archive and forwards it.
func newGabberdForward(ctx context.Context, h *house) (server, error) {
	modules, err := h.forwardModules()
	if err != nil {
		return nil, err
	}
	p, err := gabberdNode(ctx, h, "gabberd-forward", gabberdExtra{modules: modules})
	if err != nil {
		return nil, err
	}
	return settled{p, ours, forwarding, nil}, nil
}

// newGabberdForwardPostgres does so in PostgreSQL.
func newGabberdForwardPostgres(ctx context.Context, h *house) (server, error) {
	modules, err := h.forwardModules()
	if err != nil {
		return nil, err
	}
	p, err := gabberdNode(ctx, h, "gabberd-forward-postgresql", gabberdExtra{modules: modules, top: func() (string, error) {
		return h.database("gabberd_forward", "")
	}})
	if err != nil {
		return nil, err
	}
	return settled{p, ours, forwardPG, h}, nil
}

// stopSink ends the web server, if there is one.
func (h *house) stopSink() error {
	if h.sink == nil {
		return nil
	}
	if err := h.sink.http.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("web server to forward to: %w", err)
	}
	return nil
}
