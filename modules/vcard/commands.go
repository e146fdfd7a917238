package vcard

import (
	"context"
	"errors"
	"regexp"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// What the manual says about names.
const (
	someFields    = "Some names are FN (full name), NICKNAME, BDAY (birthday), TITLE and ROLE (at work). XEP-0054 has them all."
	someSubfields = "Some pairs of names are N FAMILY, N GIVEN, N MIDDLE, ADR CTRY, ADR LOCALITY, TEL HOME, TEL CELL, TEL WORK, TEL VOICE, EMAIL USERID, ORG ORGNAME, ORG ORGUNIT. XEP-0054 has them all."
)

// commands are what an operator can do about vCards.
func (m *module) commands() []admin.Command {
	return []admin.Command{
		admin.New("get_vcard", "Show a field of a user's vCard.", m.commandGet).Tags("vcard").Long(someFields).
			Result("content").Example("User 1", "user1", "myserver.com", "NICKNAME"),
		admin.New("get_vcard2", "Show a subfield of a user's vCard.", m.commandGet2).Tags("vcard").Long(someSubfields).
			Result("content").Example("Schubert", "user1", "myserver.com", "N", "FAMILY"),
		admin.New("get_vcard2_multi", "Show all that a user's vCard has in a subfield.", m.commandGetMulti).Tags("vcard").Long(someSubfields).
			Result("contents", "value").Example("Sales\nMarketing", "user1", "myserver.com", "ORG", "ORGUNIT"),
		admin.New("set_vcard", "Set a field of a user's vCard.", m.commandSet).Tags("vcard").Long(someFields).
			Example("", "user1", "myserver.com", "URL", "www.example.com"),
		admin.New("set_vcard2", "Set a subfield of a user's vCard.", m.commandSet2).Tags("vcard").Long(someSubfields).
			Example("", "user1", "myserver.com", "TEL", "CELL", "123456"),
		admin.New("set_vcard2_multi", "Set several values of a subfield of a user's vCard.", m.commandSetMulti).Tags("vcard").Long(someSubfields).
			Example("", "user1", "myserver.com", "ORG", "ORGUNIT", "Sales,Marketing"),
		admin.New("set_nickname", "Set the nickname in a user's vCard.", m.commandNickname).Tags("vcard").
			Example("", "user1", "myserver.com", "User 1"),
	}
}

type getArgs struct {
	admin.OfUser
	Name string
}

// Fields declares the arguments.
func (a *getArgs) Fields(f *config.Fields) {
	a.OfUser.Fields(f)
	f.String(&a.Name, "name", "", "Name of the field.")
}

type get2Args struct {
	getArgs
	Subname string
}

// Fields declares the arguments.
func (a *get2Args) Fields(f *config.Fields) {
	a.getArgs.Fields(f)
	f.String(&a.Subname, "subname", "", "Name of the subfield.")
}

type setArgs struct {
	getArgs
	Content string
}

// Fields declares the arguments.
func (a *setArgs) Fields(f *config.Fields) {
	a.getArgs.Fields(f)
	f.String(&a.Content, "content", "", "The value.")
}

type set2Args struct {
	get2Args
	Content string
}

// Fields declares the arguments.
func (a *set2Args) Fields(f *config.Fields) {
	a.get2Args.Fields(f)
	f.String(&a.Content, "content", "", "The value.")
}

type setMultiArgs struct {
	get2Args
	Contents []string
}

// Fields declares the arguments.
func (a *setMultiArgs) Fields(f *config.Fields) {
	a.get2Args.Fields(f)
	f.Strings(&a.Contents, "contents", nil, "The values.")
}

type nicknameArgs struct {
	admin.OfUser
	Nickname string
}

// Fields declares the arguments.
func (a *nicknameArgs) Fields(f *config.Fields) {
	a.OfUser.Fields(f)
	f.String(&a.Nickname, "nickname", "", "The nickname.")
}

func (m *module) commandGet(ctx context.Context, in getArgs) (string, error) {
	return first(m.values(ctx, in.OfUser, in.Name, ""))
}

func (m *module) commandGet2(ctx context.Context, in get2Args) (string, error) {
	return first(m.values(ctx, in.OfUser, in.Name, in.Subname))
}

func (m *module) commandGetMulti(ctx context.Context, in get2Args) ([]string, error) {
	return m.values(ctx, in.OfUser, in.Name, in.Subname)
}

func (m *module) commandSet(ctx context.Context, in setArgs) (admin.Rescode, error) {
	return m.setValues(ctx, in.OfUser, []string{in.Name}, []string{in.Content})
}

func (m *module) commandSet2(ctx context.Context, in set2Args) (admin.Rescode, error) {
	return m.setValues(ctx, in.OfUser, []string{in.Name, in.Subname}, []string{in.Content})
}

func (m *module) commandSetMulti(ctx context.Context, in setMultiArgs) (admin.Rescode, error) {
	return m.setValues(ctx, in.OfUser, []string{in.Name, in.Subname}, in.Contents)
}

// commandNickname leaves the rest of the vCard as it is.
func (m *module) commandNickname(ctx context.Context, in nicknameArgs) (admin.Rescode, error) {
	return m.setValues(ctx, in.OfUser, []string{"NICKNAME"}, []string{in.Nickname})
}

func first(list []string, err error) (string, error) {
	if err != nil {
		return "", err
	}
	return list[0], nil
}

// values is what a field or subfield has in it: at least one text, or an error.
func (m *module) values(ctx context.Context, who admin.OfUser, name, sub string) ([]string, error) {
	user, err := who.JID()
	if err != nil {
		return nil, err
	}
	card, err := m.get(ctx, user)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, admin.NotFound.With("%s has no vCard", user)
	}
	if err != nil {
		return nil, err
	}
	var out []string
	for el := range card.Children() {
		switch {
		case el.Name != name:
		case sub == "":
			out = append(out, el.Text())
		case name == "TEL" && el.Child("", sub) != nil && sub != "NUMBER":
			out = append(out, el.Child("", "NUMBER").Text())
		case name == "TEL" && sub != "NUMBER":
		default:
			for c := range el.Children() {
				if c.Name == sub {
					out = append(out, c.Text())
				}
			}
		}
	}
	if len(out) == 0 {
		return nil, admin.NotFound.With("the vCard of %s has no %s %s", user, name, sub)
	}
	return out, nil
}

// plainName is a name that an element may have.
var plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

// setValues puts values into a field, or into a subfield of one, and leaves the
// rest as it is.
func (m *module) setValues(ctx context.Context, who admin.OfUser, path, values []string) (admin.Rescode, error) {
	user, err := who.JID()
	if err != nil {
		return admin.False, err
	}
	for _, name := range path {
		if !plainName.MatchString(name) {
			return admin.False, admin.Usage.With("%q cannot be the name of a field", name)
		}
	}
	ok, err := m.host.Auth.Exists(ctx, user)
	switch {
	case err != nil:
		return admin.False, err
	case !ok:
		return admin.False, admin.NotFound.With("there is no user %s", user)
	}
	// What another node has just changed may still be in the memory of this one.
	card, err := m.store.get(ctx, user)
	if errors.Is(err, storage.ErrNotFound) {
		card, err = xmpp.El(NS, "vCard"), nil
	}
	if err == nil {
		err = m.change(ctx, Setting{User: user}, edited(card, path, values))
	}
	return admin.Whether(err == nil), err
}

// edited is the vCard with other values in the first field of that name.
func edited(card *xmpp.Element, path, values []string) *xmpp.Element {
	b := xmpp.Build(NS, "vCard")
	done := false
	replaced := func(el *xmpp.Element) bool {
		if len(path) == 2 && path[0] == "TEL" && path[1] != "NUMBER" {
			return el.Name == "TEL" && el.Child("", path[1]) != nil
		}
		return el.Name == path[0] && !done
	}
	for el := range card.Children() {
		switch {
		case !replaced(el):
			b.Add(el)
		case !done:
			write(b, el, path, values)
			done = true
		}
	}
	if !done {
		write(b, nil, path, values)
	}
	return b.Done()
}

// write writes the field anew; old is the one that was there, or nil.
func write(b *xmpp.Builder, old *xmpp.Element, path, values []string) {
	switch {
	case len(path) == 1:
		for _, v := range values {
			b.Open("", path[0]).Text(v).Close()
		}
	case path[0] == "TEL" && path[1] != "NUMBER":
		for _, v := range values {
			b.Open("", "TEL").Open("", path[1]).Close()
			b.Open("", "NUMBER").Text(v).Close().Close()
		}
	default:
		b.Open("", path[0])
		for c := range old.Children() {
			if c.Name != path[1] {
				b.Add(c)
			}
		}
		for _, v := range values {
			b.Open("", path[1]).Text(v).Close()
		}
		b.Close()
	}
}
