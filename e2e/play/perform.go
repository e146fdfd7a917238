package play

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mellium.im/xmpp/stream"
)

// stage is a play while it is given.
type stage struct {
	play   *Play
	at     Server
	on     map[string]*client
	names  names
	pinged int
}

// Perform gives a play on a server that knows the play's accounts. It returns what went wrong first, with the line of the
// play; nobody is connected any more when it returns.
func (p *Play) Perform(ctx context.Context, at Server) error {
	s := &stage{play: p, at: at, on: map[string]*client{}, names: names{}}
	defer s.clear()
	for _, step := range p.Steps {
		if err := s.step(ctx, step); err != nil {
			return fmt.Errorf("%s:%d: %s %s: %w", p.file, step.Line, step.Who, step.Verb, err)
		}
	}
	return nil
}

// clear drops the connections that are left.
func (s *stage) clear() {
	for _, c := range s.on {
		c.tcp.Close()
	}
}

func (s *stage) step(ctx context.Context, step Step) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c := s.on[step.Who]
	switch step.Verb {
	case Connects:
		return s.connect(ctx, step.Who)
	case CannotConnect:
		return s.cannotConnect(ctx, step)
	case Befriends:
		return s.befriend(ctx, step.Who, step.Arg)
	}
	if c == nil {
		return errors.New("not connected")
	}
	switch step.Verb {
	case Sends:
		return c.write(strings.TrimSpace(prove(s.names.fill(step.Arg))))
	case Receives:
		return s.receives(ctx, c, step.Arg)
	case ReceivesAny:
		return s.receivesAny(ctx, c, step.Arg)
	case ReceivesAmong:
		return s.receivesAmong(ctx, c, step.Arg)
	case ReceivesNone:
		return s.receivesNothing(ctx, c)
	case Disconnects:
		delete(s.on, step.Who)
		return c.disconnect(ctx)
	case IsCutOff:
		delete(s.on, step.Who)
		return c.tcp.Close()
	case IsDisconnected:
		delete(s.on, step.Who)
		defer c.tcp.Close()
		return isDisconnected(ctx, c, step.Arg)
	}
	return fmt.Errorf("nobody knows how to do that")
}

// near is the server, or the node of it, to which somebody goes.
func (s *stage) near(who string) Server {
	at := s.at
	i := slices.IndexFunc(s.play.Clients, func(r Role) bool { return r.Name == who })
	if at.Second != "" && i%2 == 1 {
		at.Addr = at.Second
	}
	return at
}

func (s *stage) role(name string) Role {
	for _, r := range s.play.Clients {
		if r.Name == name {
			return r
		}
	}
	return Role{}
}

func (s *stage) connect(ctx context.Context, who string) error {
	if s.on[who] != nil {
		return errors.New("connected already")
	}
	c, err := connect(ctx, s.near(who), s.role(who))
	if err != nil {
		return err
	}
	s.on[who] = c
	if s.at.Known != nil && c.full != "" {
		if err := s.at.Known(ctx, c.full); err != nil {
			return err
		}
	}
	s.names[who+"'s full JID"] = c.full
	return nil
}

func (s *stage) cannotConnect(ctx context.Context, step Step) error {
	c, err := connect(ctx, s.near(step.Who), s.role(step.Who))
	if err == nil {
		c.tcp.Close()
		return errors.New("the server let them in")
	}
	if ctx.Err() != nil {
		return err
	}
	if !strings.Contains(err.Error(), step.Arg) {
		return fmt.Errorf("failed with %q, not with %s", err, step.Arg)
	}
	return nil
}

// patterns reads the XML of a step. On a single node what may come on two is not
// expected.
func (s *stage) patterns(arg string) ([]*element, error) {
	all, err := parseXML(s.names.fill(arg))
	if s.at.Second == "" {
		all = slices.DeleteFunc(all, func(el *element) bool { return el.direction("optional") == "two-nodes" })
	}
	return all, err
}

// fits says why a stanza is not what a pattern describes; when it is, what the
// pattern saves is kept.
func (s *stage) fits(c *client, want, got *element) string {
	self, _, _ := strings.Cut(c.role.JID, "/")
	m := &matcher{saved: names{}, self: self, marked: s.at.Second != ""}
	why := m.stanza(want, got)
	if why == "" {
		for k, v := range m.saved {
			s.names[k] = v
		}
	}
	return why
}

func (s *stage) receives(ctx context.Context, c *client, arg string) error {
	want, err := s.patterns(arg)
	if err != nil {
		return err
	}
	for _, w := range want {
		got, err := c.next(ctx)
		if err != nil {
			return fmt.Errorf("%w\n  expected %s", err, w)
		}
		if why := s.fits(c, w, got); why != "" {
			return fmt.Errorf("%s\n  expected %s\n  received %s", why, w, got)
		}
	}
	return nil
}

func (s *stage) receivesAny(ctx context.Context, c *client, arg string) error {
	want, err := s.patterns(arg)
	if err != nil {
		return err
	}
	for slices.ContainsFunc(want, required) {
		got, err := c.next(ctx)
		if err != nil {
			return fmt.Errorf("%w\n  expected %v", err, want)
		}
		whys, found := "", false
		for i, w := range want {
			why := s.fits(c, w, got)
			if why == "" {
				want, found = append(want[:i:i], want[i+1:]...), true
				break
			}
			whys += "\n  expected " + w.String() + ": " + why
		}
		if !found {
			return fmt.Errorf("nobody expects this%s\n  received %s", whys, got)
		}
	}
	return nil
}

// required says whether a pattern must be met.
func required(want *element) bool { return want.direction("optional") == "" }

func (s *stage) receivesAmong(ctx context.Context, c *client, arg string) error {
	want, err := s.patterns(arg)
	if err != nil {
		return err
	}
	var dropped []*element
	for len(want) > 0 {
		got, err := c.next(ctx)
		if err != nil {
			return fmt.Errorf("%w\n  expected %s\n  received %v", err, want[0], dropped)
		}
		if s.fits(c, want[0], got) == "" {
			want = want[1:]
		} else {
			dropped = append(dropped, got)
		}
	}
	return nil
}

// receivesNothing has everybody's stanzas arrive before it looks: each client
// sends c a request along the path of other stanzas and waits for the answer,
// and c asks the server last. What waits to be stored is stored.
func (s *stage) receivesNothing(ctx context.Context, c *client) error {
	if c.full == "" {
		return errors.New("not for a client without a login: nothing can be sent to it")
	}
	ping := func(from *client, to string) error {
		s.pinged++
		return from.ping(ctx, to, fmt.Sprintf("%s%d", barrier, s.pinged))
	}
	for _, other := range s.on {
		if other.full == "" {
			continue
		}
		if err := ping(other, c.full); err != nil {
			return err
		}
	}
	_, domain, _ := strings.Cut(c.full, "@")
	domain, _, _ = strings.Cut(domain, "/")
	if err := ping(c, domain); err != nil {
		return err
	}
	if s.at.Written != nil {
		if err := s.at.Written(ctx); err != nil {
			return err
		}
	}
	select {
	case a := <-c.received:
		if a.err != nil {
			return fmt.Errorf("the stream has ended: %w", a.err)
		}
		return fmt.Errorf("received %s", a.el)
	default:
		return nil
	}
}

// isDisconnected expects the end of the stream, with a condition if one is
// named.
func isDisconnected(ctx context.Context, c *client, want string) error {
	how, err := c.end(ctx)
	if err != nil {
		return err
	}
	if want == "" {
		return nil
	}
	var e stream.Error
	if !errors.As(how, &e) || e.Err != want {
		return fmt.Errorf("the stream ended with %q, not with %s", how, want)
	}
	return nil
}
