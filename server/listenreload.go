package server

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gabberd/gabberd/xmpp/stream"
)

// A turn is the time for which a listener has a socket: another may take over
// while the socket stays open, so that nobody finds it shut.
type turn struct {
	net.Listener
	over atomic.Bool
}

// Accept is that of the socket. When the turn is over it returns net.ErrClosed.
func (t *turn) Accept() (net.Conn, error) {
	c, err := t.Listener.Accept()
	if err != nil && t.over.Load() {
		return nil, net.ErrClosed
	}
	return c, err
}

// end has Accept return, now and from now on.
func (t *turn) end() {
	t.over.Store(true)
	t.wakeAt(time.Unix(1, 0))
}

// wakeAt sets until when Accept waits; the zero time is for ever. Sockets that
// are closed have nobody who waits.
func (t *turn) wakeAt(at time.Time) {
	if d, ok := t.Listener.(interface{ SetDeadline(time.Time) error }); ok {
		d.SetDeadline(at)
	}
}

// A change is what makes the listeners that run those of a configuration, as
// ejabberd does it (ejabberd_listener:config_reloaded): one that is new is opened,
// one that is gone lets nobody in any more, and where options have changed they
// are those of whoever connects from now on. Nobody who is connected notices.
//
// Who makes a change holds s.changing until it is over.
type change struct {
	s       *Server
	gone    []*listening
	wanted  []*listenConfig // which need a socket
	heirs   []heir
	opened  []*listening
	retired []*listening
}

// An heir takes over a socket.
type heir struct {
	*listenConfig
	from *listening
}

// changeTo compares the listeners that run with those that are wanted.
func (s *Server) changeTo(wanted []*listenConfig) *change {
	c := &change{s: s, gone: s.listens()}
	if s.isEvacuated() {
		// These doors are shut until a restart.
		wanted = slices.DeleteFunc(slices.Clone(wanted), func(lc *listenConfig) bool { return lc.module == "ejabberd_c2s" })
	}
	take := func(same func(*listening, *listenConfig) bool) *listening {
		lc := wanted[0]
		i := slices.IndexFunc(c.gone, func(l *listening) bool { return same(l, lc) })
		if i < 0 {
			return nil
		}
		l := c.gone[i]
		c.gone = slices.Delete(c.gone, i, i+1)
		return l
	}
	var others []*listenConfig
	for ; len(wanted) > 0; wanted = wanted[1:] {
		if take(func(l *listening, lc *listenConfig) bool {
			return l.place == lc.place && same(l.options, lc.options())
		}) == nil {
			others = append(others, wanted[0])
		}
	}
	for wanted = others; len(wanted) > 0; wanted = wanted[1:] {
		if l := take(func(l *listening, lc *listenConfig) bool { return l.place == lc.place }); l != nil {
			c.heirs = append(c.heirs, heir{wanted[0], l})
		} else {
			c.wanted = append(c.wanted, wanted[0])
		}
	}
	return c
}

// open closes what is gone, which may be in the way, and opens what is new. Each
// error is a sentence about a listener; the others are open.
func (c *change) open() (errs []error) {
	for _, l := range c.gone {
		at := l.ln.Addr().String()
		l.ln.Close()
		c.retire(l)
		c.s.log.Info("stopped listening", "module", l.module, "address", at)
	}
	for _, lc := range c.wanted {
		l, err := c.s.open(lc)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		c.opened = append(c.opened, l)
	}
	for _, h := range c.heirs {
		sv, err := c.s.serviceOf(h.listenConfig)
		if err != nil {
			errs = append(errs, h.at.Errorf("%v; the listener goes on as it was", err))
			continue
		}
		c.retire(h.from)
		h.from.turn.wakeAt(time.Time{})
		c.opened = append(c.opened, newListening(h.listenConfig, h.from.ln, sv))
	}
	return errs
}

// retire has a listener let nobody in any more.
func (c *change) retire(l *listening) {
	l.turn.end()
	l.wg.Wait()
	c.retired = append(c.retired, l)
}

// abandon closes what was opened.
func (c *change) abandon() { closeListeners(context.Background(), c.opened, stream.SystemShutdown) }

// apply lets clients in where sockets were opened. What has retired is kept as
// long as it has clients.
func (c *change) apply() {
	s := c.s
	s.mu.Lock()
	for _, l := range c.retired {
		l.retired = true
	}
	var empty, late []*listening
	running := slices.DeleteFunc(slices.Clone(s.listeners), func(l *listening) bool {
		if !l.retired || l.service.Count() > 0 {
			return false
		}
		empty = append(empty, l)
		return true
	})
	for _, l := range c.opened {
		if s.ctx.Err() != nil || s.evacuated && l.module == "ejabberd_c2s" {
			late = append(late, l)
			continue
		}
		s.run(l)
		running = append(running, l)
	}
	s.listeners = running
	s.mu.Unlock()
	for _, l := range empty {
		l.service.Shutdown(context.Background(), stream.SystemShutdown)
	}
	closeListeners(context.Background(), late, stream.SystemShutdown)
}

// listens is the listeners that let clients in, in the order of the file at the
// start.
func (s *Server) listens() []*listening {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.DeleteFunc(slices.Clone(s.listeners), func(l *listening) bool { return l.retired })
}

// reloadListeners makes the listeners those of fresh. It returns a sentence for
// each that cannot be had.
func (s *Server) reloadListeners(fresh *configuration) (left []string) {
	c := s.changeTo(fresh.listeners)
	for _, err := range c.open() {
		left = append(left, err.Error())
	}
	for _, l := range c.opened {
		if !slices.ContainsFunc(c.retired, func(old *listening) bool { return old.ln == l.ln }) {
			s.log.Info("listening", "module", l.module, "address", l.ln.Addr().String(), "tls", l.tls)
		}
	}
	c.apply()
	if s.isEvacuated() && len(fresh.listeners) > 0 {
		left = append(left, "clients were sent away by evacuate_kindly; they are let in again by a restart only")
	}
	return left
}

// isEvacuated reports whether evacuate_kindly has shut clients out.
func (s *Server) isEvacuated() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.evacuated
}

// listen opens every listener; either all are open or none. A reload may have
// been faster.
func (s *Server) listen() error {
	s.changing.Lock()
	defer s.changing.Unlock()
	c := s.changeTo(s.conf.listeners)
	if errs := c.open(); len(errs) > 0 {
		c.abandon()
		return errors.Join(errs...)
	}
	c.apply()
	return nil
}
