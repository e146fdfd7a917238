package announce

import (
	"context"

	"github.com/gabberd/gabberd/modules/adhoc"
	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/form"
)

const nsAdmin = "http://jabber.org/protocol/admin"

// menu is the commands of XEP-0133 that are about announcements, and
// ejabberd's.
func (m *module) menu() adhoc.Fixed {
	var menu adhoc.Fixed
	for _, c := range []struct {
		name, title string
		deed        Deed
	}{
		{"announce", "Send announcement to all online users", ToOnline},
		{"announce-all", "Send announcement to all users", ToAll},
		{"set-motd", "Set message of the day and send to online users", SetMOTD},
		{"edit-motd", "Update message of the day (don't send)", UpdateMOTD},
		{"delete-motd", "Delete message of the day", DeleteMOTD},
	} {
		menu = append(menu,
			m.command(c.name, c.title, address{c.deed, false}),
			m.command(c.name+"-allhosts", c.title+" on all hosts", address{c.deed, true}))
	}
	return menu
}

func (m *module) command(name, title string, a address) adhoc.Command {
	return adhoc.Command{
		Node: nsAdmin + "#" + name, Name: title,
		Allowed: func(_ context.Context, q disco.Query) bool { return m.allowed(q.From) },
		Run: func(context.Context, adhoc.Request) (adhoc.Result, error) {
			f := m.form(a.deed)
			f.Title = title
			return adhoc.Ask(f, m.filled(a))
		},
	}
}

// form asks for what is to be announced.
func (m *module) form(d Deed) *form.Form {
	if d == DeleteMOTD {
		return form.New(form.Ask, nsAdmin, form.BoolField("confirm", "Really delete message of the day?", true))
	}
	var subject, body string
	if st := m.motd.message(); st != nil && d == UpdateMOTD {
		subject, body = st.Child(xmpp.NSClient, "subject").Text(), st.Body()
	}
	return form.New(form.Ask, nsAdmin, form.TextField("subject", "Subject", subject), form.LinesField("body", "Message body", body).Require())
}

// filled makes the announcement in a form.
func (m *module) filled(a address) adhoc.Step {
	return func(ctx context.Context, r adhoc.Request) (adhoc.Result, error) {
		order := Announcement{By: r.From, Deed: a.deed}
		if a.deed != DeleteMOTD {
			order.Message = compose(a.deed, r.Form.Value("subject"), r.Form.Text("body"))
		} else if sure, err := r.Form.Bool("confirm"); err != nil || !sure {
			return adhoc.Result{}, err
		}
		if err := m.order(ctx, order, a.everywhere); err != nil {
			return adhoc.Result{}, err
		}
		return adhoc.Done("Done")
	}
}
