package mam

import (
	"context"
	"slices"
	"time"

	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/form"
)

// stampFormat is how times are written (XEP-0082).
const stampFormat = "2006-01-02T15:04:05.000000Z"

// answer deals with requests to a user's archive. Nobody but him is answered.
func (m *mam) answer(ctx context.Context, iq *xmpp.Stanza) (*xmpp.Element, error) {
	user, ask := iq.To.Bare(), iq.Payload()
	if iq.From.Bare() != user {
		return nil, xmpp.Forbidden.WithText("An archive is for whose it is")
	}
	switch {
	case ask.Is(ns, "prefs"):
		return m.answerPrefs(ctx, iq)
	case ask.Is(ns, "metadata") && iq.Type == "get":
		return m.metadata(ctx, user)
	case ask.Is(ns, "query") && iq.Type == "get":
		return xmpp.El(ns, "query", m.form().Element()), nil
	case ask.Is(ns, "query"):
		if err := m.activate(ctx, user); err != nil {
			return nil, err
		}
		return m.query(ctx, iq)
	}
	return nil, xmpp.BadRequest
}

// fullText is the field with the words that messages must have (XEP-0431 §3).
const fullText = "{" + nsFullText + "}fulltext"

// form is what can be asked for (XEP-0313 §4.1.5).
func (m *mam) form() *form.Form {
	open := xmpp.Build("http://jabber.org/protocol/xdata-validate", "validate").Attr("datatype", "xs:string").Open("", "open").Done()
	ids := form.ListsField("ids", "", nil)
	ids.Extra = []*xmpp.Element{open}
	return form.New(form.Ask, ns,
		form.JIDField("with", "", xmpp.JID{}), form.TextField("start", "", ""), form.TextField("end", "", ""),
		form.TextField("before-id", "", ""), form.TextField("after-id", "", ""), ids,
		form.TextField(fullText, "", ""))
}

// metadata says where the archive begins and ends (XEP-0313 §4.2).
func (m *mam) metadata(ctx context.Context, user xmpp.JID) (*xmpp.Element, error) {
	m.flight.wait(ctx, user)
	first, last, err := m.store.ends(ctx, user)
	if err != nil {
		return nil, err
	}
	b := xmpp.Build(ns, "metadata")
	if last != 0 {
		for i, r := range []row{{stamp: first}, {stamp: last}} {
			b.Open("", [...]string{"start", "end"}[i]).Attr("id", r.id()).Attr("timestamp", r.time().Format(stampFormat)).Close()
		}
	}
	return b.Done(), nil
}

// query sends who asks a page of messages, and then the answer.
func (m *mam) query(ctx context.Context, iq *xmpp.Stanza) (*xmpp.Element, error) {
	user, ask := iq.To.Bare(), iq.Payload()
	if ask.Attr("node") != "" {
		return nil, xmpp.ItemNotFound.WithText("A user's archive has no nodes")
	}
	f, err := m.parseFilter(ask, user)
	if err != nil {
		return nil, err
	}
	p, err := parsePage(ask.Child(nsRSM, "set"))
	if err != nil {
		return nil, err
	}
	p.each = len(ask.Attr("queryid"))
	stable := m.flight.wait(ctx, user)
	known := append([]int64(nil), f.ids...)
	for _, id := range []int64{f.after, f.before, p.after, p.before} {
		if id != 0 {
			known = append(known, id)
		}
	}
	if ok, err := m.known(ctx, user, known); err != nil || !ok {
		return nil, orNotFound(err)
	}
	r, err := m.store.find(ctx, f, p)
	if err != nil {
		return nil, err
	}
	m.send(ctx, iq, r)
	b := xmpp.Build(ns, "fin")
	if r.complete {
		b.Attr("complete", "true")
	}
	if !stable {
		b.Attr("stable", "false")
	}
	return b.Add(r.element()).Done(), nil
}

// known reports whether these messages are in the archive of user. One that has just
// been given its ID may be on its way there from another node: it is waited for, as
// long as for those of this node.
func (m *mam) known(ctx context.Context, user xmpp.JID, ids []int64) (bool, error) {
	for end := time.Now().Add(landing); ; {
		ok, err := m.store.has(ctx, user, ids...)
		if ok || err != nil || !m.host.Hooks().Spreads() || !time.Now().Before(end) || !slices.ContainsFunc(ids, justGiven) {
			return ok, err
		}
		select {
		case <-time.After(landing / 20):
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// justGiven reports whether a message may still be on its way to the archive.
func justGiven(id int64) bool { return time.Since(time.UnixMicro(id)).Abs() < 10*landing }

func orNotFound(err error) error {
	if err != nil {
		return err
	}
	return xmpp.ItemNotFound.WithText("There is no such message")
}

// send hands over the messages of a page, in the order that is wanted.
func (m *mam) send(ctx context.Context, iq *xmpp.Stanza, r result) {
	ask, s := iq.Payload(), m.host.Sessions.Find(iq.From)
	flip, queryID := ask.Child(ns, "flip-page") != nil, ask.Attr("queryid")
	for i := range r.rows {
		x := r.rows[i]
		if flip {
			x = r.rows[len(r.rows)-1-i]
		}
		msg, err := x.message()
		if err != nil {
			if !m.odd.Swap(true) {
				m.host.Log.Error("a message in the archive cannot be read; such messages are left out of answers", "user", iq.To.String(), "id", x.id(), "error", err)
			}
			continue
		}
		el := xmpp.Build(ns, "result").OptAttr("queryid", queryID).Attr("id", x.id()).
			Open(nsForward, "forwarded").Open(nsDelay, "delay").Attr("stamp", x.time().Format(stampFormat)).Close().Add(msg).Done()
		st := xmpp.NewMessage("", iq.To.Bare(), iq.From, el)
		if s == nil {
			m.host.Send(ctx, st)
			continue
		}
		s.Send(ctx, st)
	}
}

// message is what a row holds.
func (r row) message() (*xmpp.Element, error) {
	if r.bad {
		return nil, errCompressed
	}
	return xmpp.ParseElement([]byte(r.xml), nsClient)
}

// parseFilter reads the form of a query (XEP-0313 §4.1).
func (m *mam) parseFilter(ask *xmpp.Element, user xmpp.JID) (f filter, err error) {
	f = filter{user: user}
	in, err := form.Find(ask)
	if err != nil || in == nil {
		return f, err
	}
	if in.Kind != form.Submit || in.FormType() != ns {
		return f, xmpp.BadRequest.WithText("The form is not one of " + ns)
	}
	asked := m.form()
	for _, field := range in.Fields {
		one := field.Var != "ids"
		switch {
		case field.Var == "FORM_TYPE", field.Type == form.Fixed:
			continue
		case !asked.Has(field.Var):
			return f, xmpp.FeatureNotImplemented.WithText("The archive cannot look for " + field.Var)
		case one && len(field.Values) == 0, field.Var == fullText && field.Values[0] == "": // XEP-0431 §2.2
			continue
		case one && len(field.Values) > 1:
			return f, xmpp.BadRequest.WithText(field.Var + " has more than one value")
		case field.Var == fullText:
			var ok bool
			if f.match, f.matchArgs, ok = m.store.Matching(words, user.Local(), field.Values[0]); !ok {
				return f, xmpp.BadRequest.WithText("There are no words to look for, too many, or too long ones")
			}
			continue
		}
		if err := f.set(field.Var, field.Values); err != nil {
			return f, err
		}
	}
	return f, nil
}

// set takes one field of the form. Only ids have more or fewer values than one.
func (f *filter) set(name string, values []string) (err error) {
	switch name {
	case "with":
		if f.with, err = xmpp.Parse(values[0]); err != nil {
			return xmpp.JIDMalformed.WithText("with is not an address")
		}
	case "start":
		f.start, err = parseTime(values[0])
	case "end":
		f.end, err = parseTime(values[0])
	case "after-id":
		f.after, err = parseID(values[0])
	case "before-id":
		f.before, err = parseID(values[0])
	case "ids":
		f.named = true
		if len(values) > maxNamed {
			return xmpp.PolicyViolation.WithText("Too many messages are named")
		}
		for _, v := range values {
			id, err := parseID(v)
			if err != nil {
				return err
			}
			f.ids = append(f.ids, id)
		}
	}
	return err
}

// parseTime reads a time (XEP-0082), in microseconds.
func parseTime(text string) (int64, error) {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return 0, xmpp.BadRequest.WithText("A time cannot be read")
	}
	return max(t.UnixMicro(), 1), nil
}
