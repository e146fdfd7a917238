package play

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

const nsRegister = "jabber:iq:register"

// Renew makes an account by in-band registration (XEP-0077), for servers on
// which there is no other way in. An account of that name with the same password
// is removed before, with all that it holds.
func Renew(ctx context.Context, at Server, jid, password string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := register(ctx, at, jid, password)
	if err == nil {
		return nil
	}
	c, loginErr := connect(ctx, at, Role{Name: jid, JID: jid, Password: password})
	if loginErr != nil {
		return errors.Join(err, loginErr)
	}
	defer c.tcp.Close()
	if err := c.write("<iq type='set' id='bye'><query xmlns='" + nsRegister + "'><remove/></query></iq>"); err != nil {
		return err
	}
	if _, err := c.end(ctx); err != nil {
		return fmt.Errorf("remove %s: %w", jid, err)
	}
	return register(ctx, at, jid, password)
}

func register(ctx context.Context, at Server, jid, password string) error {
	c, err := connect(ctx, at, Role{Name: jid, JID: jid, NoLogin: true})
	if err != nil {
		return err
	}
	defer c.tcp.Close()
	user, _, _ := strings.Cut(jid, "@")
	err = c.write("<iq type='set' id='register'><query xmlns='" + nsRegister + "'><username>" + escape(user) +
		"</username><password>" + escape(password) + "</password></query></iq>")
	if err != nil {
		return err
	}
	answer, err := c.next(ctx)
	if err != nil {
		return err
	}
	if answer.attr("type") != "result" {
		return fmt.Errorf("register %s: %s", jid, answer)
	}
	return nil
}
