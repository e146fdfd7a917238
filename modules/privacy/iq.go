package privacy

import (
	"context"
	"slices"
	"strconv"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// answer reads or changes lists (XEP-0016 §2.3 to §2.8): each his own.
func (m *privacy) answer(ctx context.Context, iq *xmpp.Stanza) (*xmpp.Element, error) {
	user := iq.To.Bare()
	if iq.From.Bare() != user {
		return nil, xmpp.Forbidden.WithText("Privacy lists are their owner's alone")
	}
	query := iq.Payload()
	if !query.Is(ns, "query") {
		return nil, xmpp.BadRequest.WithText("A request about privacy lists is a <query/>")
	}
	s := m.host.Sessions.Find(iq.From)
	if iq.Type == "get" {
		return m.get(ctx, user, s, query)
	}
	return nil, m.command(ctx, user, s, query)
}

// only is the one child of query, nil if there is none. The error is for more
// than one.
func only(query *xmpp.Element) (*xmpp.Element, error) {
	var found *xmpp.Element
	for el := range query.Children() {
		if found != nil {
			return nil, xmpp.BadRequest.WithText("One thing at a time")
		}
		found = el
	}
	return found, nil
}

// get answers with the names of all lists, or with one list (XEP-0016 §2.3, §2.4).
func (m *privacy) get(ctx context.Context, user xmpp.JID, s *sm.Session, query *xmpp.Element) (*xmpp.Element, error) {
	el, err := only(query)
	if err != nil {
		return nil, err
	}
	r, err := m.of(ctx, user, s)
	if err != nil {
		return nil, err
	}
	b := xmpp.Build(ns, "query")
	if el == nil {
		if s != nil && r.find(s.ActiveList()) != nil {
			b.Open("", "active").Attr("name", s.ActiveList()).Close()
		}
		if l := r.standard(); l != nil {
			b.Open("", "default").Attr("name", l.name).Close()
		}
		if r != nil {
			for _, l := range r.lists {
				b.Open("", "list").Attr("name", l.name).Close()
			}
		}
		return b.Done(), nil
	}
	if !el.Is(ns, "list") {
		return nil, xmpp.BadRequest.WithText("Only lists can be asked for")
	}
	l := r.find(el.Attr("name"))
	if l == nil {
		return nil, errNoList
	}
	b.Open("", "list").Attr("name", l.name)
	for i := range l.items {
		l.items[i].append(b)
	}
	return b.Close().Done(), nil
}

var errNoList = xmpp.ItemNotFound.WithText("There is no such privacy list")

// The words for what an item compares, and for the stanzas that it is about.
var (
	matchWords = map[match]string{byJID: "jid", byGroup: "group", bySubscription: "subscription"}
	kindWords  = []struct {
		kind kinds
		word string
	}{{messages, "message"}, {iqs, "iq"}, {presenceIn, "presence-in"}, {presenceOut, "presence-out"}}
)

// append writes the item into a list.
func (i *item) append(b *xmpp.Builder) {
	b.Open("", "item")
	if i.match != anybody {
		b.Attr("type", matchWords[i.match]).Attr("value", i.text())
	}
	action := "deny"
	if i.allow {
		action = "allow"
	}
	b.Attr("action", action).Attr("order", strconv.FormatInt(i.order, 10))
	for _, k := range kindWords {
		if i.kinds&k.kind != 0 {
			b.Open("", k.word).Close()
		}
	}
	b.Close()
}

// command does what a client wants: to set or remove a list, to choose the
// default, or its own active list.
func (m *privacy) command(ctx context.Context, user xmpp.JID, s *sm.Session, query *xmpp.Element) error {
	el, err := only(query)
	if err != nil {
		return err
	}
	if el == nil || el.NS != ns {
		return xmpp.BadRequest.WithText("Nothing is to be set")
	}
	name, named := el.LookupAttr("name")
	if len(name) > maxName {
		return xmpp.PolicyViolation.WithText("The name of a list is too long")
	}
	switch el.Name {
	case "active":
		return m.activate(ctx, user, s, name)
	case "default":
		return m.choose(ctx, user, name)
	case "list":
		if !named || name == "" {
			return xmpp.BadRequest.WithText("A list has a name")
		}
		items, err := readList(el)
		if err != nil {
			return err
		}
		if items == nil {
			return m.drop(ctx, user, s, name)
		}
		return m.replace(ctx, user, name, items)
	}
	return xmpp.BadRequest.WithText("This cannot be set")
}

// readList reads the items of a list (XEP-0016 §2.1); nil: there are none.
func readList(el *xmpp.Element) (items []item, err error) {
	for c := range el.Children() {
		if !c.Is(ns, "item") {
			return nil, xmpp.BadRequest.WithText("A list consists of items")
		}
		if len(items) == maxItems {
			return nil, xmpp.ResourceConstraint.WithText("The list is too long")
		}
		it, err := readItem(c)
		if err != nil {
			return nil, err
		}
		items = append(items, it)
	}
	return items, nil
}

func readItem(el *xmpp.Element) (item, error) {
	t := anybody
	word, typed := el.LookupAttr("type")
	for m, w := range matchWords {
		if w == word {
			t = m
		}
	}
	value := el.Attr("value")
	if typed && t == anybody || len(value) > maxValue {
		return item{}, xmpp.BadRequest.WithText("An item is about a jid, a group, or a subscription")
	}
	it, ok := itemOf(t, value)
	if !ok {
		return item{}, xmpp.BadRequest.WithText("The value of an item is not of its type")
	}
	it.jid = it.jid.Clone()
	switch el.Attr("action") {
	case "allow":
		it.allow = true
	case "deny":
	default:
		return item{}, xmpp.BadRequest.WithText("An item allows or denies")
	}
	order, err := strconv.ParseUint(el.Attr("order"), 10, 32)
	if err != nil {
		return item{}, xmpp.BadRequest.WithText("The order of an item is a number")
	}
	it.order = int64(order)
	for c := range el.Children() {
		i := slices.IndexFunc(kindWords, func(k struct {
			kind kinds
			word string
		}) bool {
			return c.Is(ns, k.word)
		})
		if i < 0 {
			return item{}, xmpp.BadRequest.WithText("An item is about messages, iqs, presence-in, or presence-out")
		}
		it.kinds |= kindWords[i].kind
	}
	return it, nil
}

type setting struct {
	admin.OfUser
	XMLQuery string
}

// Fields declares the arguments.
func (a *setting) Fields(f *config.Fields) {
	a.OfUser.Fields(f)
	f.String(&a.XMLQuery, "xmlquery", "", "The <query/>.")
}

// set does what the query wants on behalf of a user who need not be connected.
func (m *privacy) set(ctx context.Context, in setting) (admin.Rescode, error) {
	user, err := in.JID()
	if err != nil {
		return admin.False, err
	}
	query, err := xmpp.ParseElement([]byte(in.XMLQuery), "")
	if err != nil || !query.Is(ns, "query") {
		return admin.False, admin.Usage.With("privacy_set: the query is no <query xmlns='%s'/>", ns)
	}
	if err := m.command(ctx, user, nil, query); err != nil {
		return admin.False, err
	}
	return admin.OK, nil
}
