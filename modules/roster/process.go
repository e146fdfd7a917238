package roster

import (
	"context"
	"slices"
	"strings"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/xmpp"
)

type filter struct {
	Action, Subs, Asks, Users, Contacts string
}

// Fields declares the arguments.
func (a *filter) Fields(f *config.Fields) {
	f.Enum(&a.Action, "action", "list", "What to do.", "list", "delete")
	f.String(&a.Subs, "subs", "any", "Subscriptions: any, or some of none, from, to, both.")
	f.String(&a.Asks, "asks", "any", "Waiting requests: any, or some of none, out, in, both.")
	f.String(&a.Users, "users", "any", "Whose rosters: any, or addresses with *.")
	f.String(&a.Contacts, "contacts", "any", "Which contacts: any, or addresses with *.")
}

// check says what is wrong with the words.
func (a *filter) check() error {
	for _, x := range []struct {
		arg, given string
		words      []string
	}{
		{"subs", a.Subs, []string{"any", "none", "from", "to", "both"}},
		{"asks", a.Asks, []string{"any", "none", "out", "in", "both"}},
	} {
		for w := range strings.SplitSeq(x.given, ":") {
			if !slices.Contains(x.words, w) {
				return admin.Usage.With("process_rosteritems.%s: %q is not one of %s", x.arg, w, strings.Join(x.words, ", "))
			}
		}
	}
	return nil
}

type pair struct {
	User    string `json:"user"`
	Contact string `json:"contact"`
}

// process lists or deletes what fits of all that is stored.
func (m *roster) process(ctx context.Context, in filter) ([]pair, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	names, err := m.store.users(ctx)
	if err != nil {
		return nil, err
	}
	out := []pair{}
	for _, name := range names {
		user, err := m.host.User(name)
		if err != nil || !fits(in.Users, user.String()) {
			continue
		}
		items, err := m.store.items(ctx, user)
		if err != nil {
			return out, err
		}
		for i := range items {
			if !in.wants(&items[i]) {
				continue
			}
			if err := m.processed(ctx, in, user, items[i].JID); err != nil {
				return out, err
			}
			out = append(out, pair{user.String(), items[i].JID.String()})
		}
	}
	return out, nil
}

func (a *filter) wants(it *Item) bool {
	return fits(a.Subs, it.State.Subscription()) && fits(a.Asks, it.State.Pending()) && fits(a.Contacts, it.JID.String())
}

func (m *roster) processed(ctx context.Context, in filter, user, contact xmpp.JID) error {
	if in.Action != "delete" {
		return nil
	}
	_, err := m.erase(ctx, user, contact)
	return err
}

// fits reports whether one of the patterns, separated by colons, is text. The
// pattern any is.
func fits(patterns, text string) bool {
	for p := range strings.SplitSeq(patterns, ":") {
		if p == "any" || glob(p, text) {
			return true
		}
	}
	return false
}

// glob reports whether text is pattern, in which each * stands for any text.
func glob(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	last := len(parts) - 1
	if last == 0 {
		return pattern == text
	}
	if !strings.HasPrefix(text, parts[0]) {
		return false
	}
	text = text[len(parts[0]):]
	for _, part := range parts[1:last] {
		_, after, found := strings.Cut(text, part)
		if !found {
			return false
		}
		text = after
	}
	return strings.HasSuffix(text, parts[last])
}
