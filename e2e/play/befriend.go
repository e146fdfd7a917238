package play

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// befriend has two users subscribe to each other, off stage: with connections of
// its own, before theirs.
func (s *stage) befriend(ctx context.Context, one, other string) error {
	if s.on[one] != nil || s.on[other] != nil {
		return errors.New("both must be off stage")
	}
	a, err := s.backstage(ctx, one)
	if err != nil {
		return err
	}
	defer a.tcp.Close()
	b, err := s.backstage(ctx, other)
	if err != nil {
		return err
	}
	defer b.tcp.Close()
	for _, pair := range [][2]*client{{a, b}, {b, a}} {
		from, to := pair[0], pair[1]
		if err := from.write(fmt.Sprintf("<presence type='subscribe' to='%s'/>", escape(to.bare()))); err != nil {
			return err
		}
		if err := to.await(ctx, "presence", "subscribe"); err != nil {
			return err
		}
		if err := to.write(fmt.Sprintf("<presence type='subscribed' to='%s'/>", escape(from.bare()))); err != nil {
			return err
		}
		if err := from.await(ctx, "presence", "subscribed"); err != nil {
			return err
		}
	}
	for _, c := range []*client{a, b} {
		if err := c.ping(ctx, c.bare(), barrier+"befriend"); err != nil {
			return err
		}
		if err := c.disconnect(ctx); err != nil {
			return err
		}
	}
	return nil
}

// backstage connects somebody under another resource and makes them available.
func (s *stage) backstage(ctx context.Context, who string) (*client, error) {
	r := s.role(who)
	bare, _, _ := strings.Cut(r.JID, "/")
	r.JID = bare + "/backstage"
	c, err := connect(ctx, s.near(who), r)
	if err != nil {
		return nil, err
	}
	err = c.write("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq><presence/>")
	if err == nil {
		err = c.await(ctx, "presence", "")
	}
	if err != nil {
		c.tcp.Close()
		return nil, err
	}
	return c, nil
}

// bare is the client's account.
func (c *client) bare() string {
	bare, _, _ := strings.Cut(c.full, "/")
	return bare
}

// await drops what arrives until a stanza of that name and type comes.
func (c *client) await(ctx context.Context, name, typ string) error {
	for {
		el, err := c.next(ctx)
		if err != nil {
			return fmt.Errorf("%s waits for %s %s: %w", c.role.Name, name, typ, err)
		}
		if el.name.Local == name && el.attr("type") == typ {
			return nil
		}
	}
}
