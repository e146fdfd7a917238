package form_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/form"
)

// parse reads a form out of XML that stands in the test.
func parse(t *testing.T, s string) (*form.Form, error) {
	t.Helper()
	el, err := xmpp.ParseElement([]byte(s), "")
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return form.Parse(el)
}

func mustParse(t *testing.T, s string) *form.Form {
	t.Helper()
	f, err := parse(t, s)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return f
}

const room = `<x xmlns='jabber:x:data' type='form'>` +
	`<title>Configuration for &quot;coven&quot; Room</title>` +
	`<instructions>Complete this form</instructions><instructions>or leave it</instructions>` +
	`<field var='FORM_TYPE' type='hidden'><value>http://jabber.org/protocol/muc#roomconfig</value></field>` +
	`<field label='Name' type='text-single' var='muc#roomconfig_roomname'><desc>What the room is called</desc><required/><value>A Dark Cave</value></field>` +
	`<field type='fixed'><value>Who may do what</value></field>` +
	`<field label='Affiliations' type='list-single' var='muc#roomconfig_whois'><value>moderators</value>` +
	`<option label='Moderators Only'><value>moderators</value></option><option><value>anyone</value></option></field>` +
	`<field var='note'/>` +
	`</x>`

func TestParse(t *testing.T) {
	want := &form.Form{
		Kind:         form.Ask,
		Title:        `Configuration for "coven" Room`,
		Instructions: []string{"Complete this form", "or leave it"},
		Fields: []form.Field{
			{Var: "FORM_TYPE", Type: form.Hidden, Values: []string{"http://jabber.org/protocol/muc#roomconfig"}},
			{Var: "muc#roomconfig_roomname", Type: form.TextSingle, Label: "Name", Desc: "What the room is called", Required: true, Values: []string{"A Dark Cave"}},
			{Type: form.Fixed, Values: []string{"Who may do what"}},
			{Var: "muc#roomconfig_whois", Type: form.ListSingle, Label: "Affiliations", Values: []string{"moderators"},
				Options: []form.Option{{Label: "Moderators Only", Value: "moderators"}, {Value: "anyone"}}},
			{Var: "note", Type: form.TextSingle},
		},
	}
	got := mustParse(t, room)
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if got.FormType() != "http://jabber.org/protocol/muc#roomconfig" {
		t.Errorf("form type %q", got.FormType())
	}
}

func TestTable(t *testing.T) {
	const in = `<x xmlns='jabber:x:data' type='result'>` +
		`<reported><field var='jid' type='jid-single' label='Address'/><field var='name'/></reported>` +
		`<item><field var='jid'><value>a@example.com</value></field><field var='name'><value/></field></item>` +
		`<item><field var='jid'><value>b@example.com</value></field></item></x>`
	got := mustParse(t, in)
	if len(got.Reported) != 2 || len(got.Items) != 2 || got.Items[1][0].Values[0] != "b@example.com" {
		t.Errorf("got %+v", got)
	}
	if xml := got.Element().XML(); xml != in {
		t.Errorf("written again:\n%s\nwant\n%s", xml, in)
	}
}

func TestElementIsWhatWasParsed(t *testing.T) {
	for _, in := range []string{
		room,
		`<x xmlns='jabber:x:data' type='cancel'/>`,
		`<x xmlns='jabber:x:data' type='submit'><field var='a'/><field var='b'><value/></field><field var='c'><value>1</value><value>&lt;2&gt;</value></field></x>`,
		`<x xmlns='jabber:x:data' type='form'><field var='ocr' label='Enter the text'><media xmlns='urn:xmpp:media-element'><uri type='image/jpeg'>cid:sha1+x@bob.xmpp.org</uri></media></field></x>`,
	} {
		first := mustParse(t, in)
		again, err := form.Parse(first.Element())
		if err != nil {
			t.Errorf("%s: %v", first.Element(), err)
			continue
		}
		same := cmp.Comparer(func(a, b *xmpp.Element) bool { return a.XML() == b.XML() })
		if d := cmp.Diff(first, again, same); d != "" {
			t.Error(d)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, in := range []string{
		`<y xmlns='jabber:x:data' type='form'/>`,
		`<x xmlns='jabber:x:oob' type='form'/>`,
		`<x xmlns='jabber:x:data'/>`,
		`<x xmlns='jabber:x:data' type='forms'/>`,
		`<x xmlns='jabber:x:data' type='submit'><field/></x>`,
		`<x xmlns='jabber:x:data' type='form'><field var='' type='hidden'/></x>`,
		`<x xmlns='jabber:x:data' type='form'><field var='a' type='list-single'><option/></field></x>`,
		`<x xmlns='jabber:x:data' type='submit'><field var='a'/><field var='b'/><field var='a'/></x>`,
		`<x xmlns='jabber:x:data' type='result'><item><field/></item></x>`,
	} {
		f, err := parse(t, in)
		if !errors.Is(err, xmpp.BadRequest) {
			t.Errorf("%s: %+v, %v", in, f, err)
		}
	}
	if _, err := form.Parse(nil); !errors.Is(err, xmpp.BadRequest) {
		t.Errorf("no element: %v", err)
	}
}

func TestForeignChildrenAreNoFields(t *testing.T) {
	f := mustParse(t, `<x xmlns='jabber:x:data' type='submit'>text<field xmlns='urn:x' var='a'/><y:field xmlns:y='urn:x'/>`+
		`<field var='b'><value xmlns='urn:x'>no</value><value>yes</value></field></x>`)
	if len(f.Fields) != 1 || f.Value("b") != "yes" {
		t.Errorf("got %+v", f.Fields)
	}
}

func TestFind(t *testing.T) {
	with := xmpp.El("urn:q", "query", xmpp.El("urn:other", "x"), form.New(form.Submit, "urn:kind").Element())
	f, err := form.Find(with)
	if err != nil || f == nil || f.FormType() != "urn:kind" {
		t.Errorf("got %+v, %v", f, err)
	}
	if f, err := form.Find(xmpp.El("urn:q", "query")); f != nil || err != nil {
		t.Errorf("without a form: %+v, %v", f, err)
	}
	if f, err := form.Find(nil); f != nil || err != nil {
		t.Errorf("without an element: %+v, %v", f, err)
	}
}

func TestFormTypeMustBeHidden(t *testing.T) {
	for _, c := range []struct{ kind, typ, want string }{
		{"form", " type='hidden'", "k"},
		{"result", " type='hidden'", "k"},
		{"submit", " type='hidden'", "k"},
		{"submit", "", "k"},
		{"form", "", ""},
		{"result", "", ""},
		{"result", " type='text-single'", ""},
		{"submit", " type='text-single'", ""},
	} {
		f := mustParse(t, `<x xmlns='jabber:x:data' type='`+c.kind+`'><field var='FORM_TYPE'`+c.typ+`><value>k</value></field></x>`)
		if got := f.FormType(); got != c.want {
			t.Errorf("%s%s: %q, want %q", c.kind, c.typ, got, c.want)
		}
	}
	if got := mustParse(t, `<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'/></x>`).FormType(); got != "" {
		t.Errorf("without a value: %q", got)
	}
}

func TestTypedAccess(t *testing.T) {
	f := form.New(form.Submit, "",
		form.Field{Var: "yes", Values: []string{"true"}}, form.Field{Var: "one", Values: []string{"1"}},
		form.Field{Var: "no", Values: []string{"false"}}, form.Field{Var: "maybe", Values: []string{"TRUE"}},
		form.Field{Var: "n", Values: []string{"-17"}}, form.Field{Var: "text", Values: []string{"a", "", "b"}},
		form.Field{Var: "jids", Values: []string{"a@example.com", "", "A@example.com", "b@example.com"}},
		form.Field{Var: "nojids", Values: []string{"a@example.com", "@"}}, form.Field{Var: "empty"},
	)
	for name, want := range map[string]bool{"yes": true, "one": true, "no": false, "empty": false, "absent": false} {
		if got, err := f.Bool(name); got != want || err != nil {
			t.Errorf("Bool(%s) = %v, %v", name, got, err)
		}
	}
	if n, err := f.Int("n"); n != -17 || err != nil {
		t.Errorf("Int(n) = %d, %v", n, err)
	}
	if got := f.Text("text"); got != "a\n\nb" {
		t.Errorf("Text(text) = %q", got)
	}
	if j, err := f.JID("jids"); j != xmpp.MustParse("a@example.com") || err != nil {
		t.Errorf("JID(jids) = %v, %v", j, err)
	}
	list, err := f.JIDs("jids")
	if err != nil || len(list) != 2 || list[1] != xmpp.MustParse("b@example.com") {
		t.Errorf("JIDs(jids) = %v, %v", list, err)
	}
	if list, err := f.JIDs("absent"); list != nil || err != nil {
		t.Errorf("JIDs(absent) = %v, %v", list, err)
	}
	if !f.Has("empty") || f.Has("absent") {
		t.Error("a field without a value is there, one that is not is not")
	}
	var mistake *form.Mistake
	for name, ask := range map[string]func() error{
		"maybe":  func() error { _, err := f.Bool("maybe"); return err },
		"text":   func() error { _, err := f.Int("text"); return err },
		"absent": func() error { _, err := f.Int("absent"); return err },
		"empty":  func() error { _, err := f.JID("empty"); return err },
		"nojids": func() error { _, err := f.JIDs("nojids"); return err },
	} {
		err := ask()
		if !errors.As(err, &mistake) || mistake.Var != name || !errors.Is(err, xmpp.NotAcceptable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFieldsAreMade(t *testing.T) {
	me := xmpp.MustParse("me@example.com")
	f := form.New(form.Ask, "urn:kind",
		form.HiddenField("sid", "42"),
		form.FixedField("General"),
		form.BoolField("on", "On", true).Describe("Whether it is on"),
		form.BoolField("off", "Off", false),
		form.TextField("name", "Name", "").Require(),
		form.PrivateField("password", "Password"),
		form.LinesField("about", "About", "one\r\ntwo\n\nfour\rfive"),
		form.JIDField("who", "Who", me),
		form.JIDField("whom", "Whom", xmpp.JID{}),
		form.JIDsField("all", "All", me, me.Host()),
		form.ListField("one", "One", "b", form.Option{Label: "A", Value: "a"}, form.Option{Value: "b"}),
		form.ListsField("some", "Some", []string{"a", "b"}, form.Option{Value: "a"}, form.Option{Value: "b"}),
	)
	want := []form.Field{
		{Var: "FORM_TYPE", Type: "hidden", Values: []string{"urn:kind"}},
		{Var: "sid", Type: "hidden", Values: []string{"42"}},
		{Type: "fixed", Values: []string{"General"}},
		{Var: "on", Type: "boolean", Label: "On", Desc: "Whether it is on", Values: []string{"1"}},
		{Var: "off", Type: "boolean", Label: "Off", Values: []string{"0"}},
		{Var: "name", Type: "text-single", Label: "Name", Required: true},
		{Var: "password", Type: "text-private", Label: "Password"},
		{Var: "about", Type: "text-multi", Label: "About", Values: []string{"one", "two", "", "four", "five"}},
		{Var: "who", Type: "jid-single", Label: "Who", Values: []string{"me@example.com"}},
		{Var: "whom", Type: "jid-single", Label: "Whom"},
		{Var: "all", Type: "jid-multi", Label: "All", Values: []string{"me@example.com", "example.com"}},
		{Var: "one", Type: "list-single", Label: "One", Values: []string{"b"}, Options: []form.Option{{Label: "A", Value: "a"}, {Value: "b"}}},
		{Var: "some", Type: "list-multi", Label: "Some", Values: []string{"a", "b"}, Options: []form.Option{{Value: "a"}, {Value: "b"}}},
	}
	again, err := form.Parse(f.Element())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, again.Fields, cmpopts.EquateEmpty()); d != "" {
		t.Error(d)
	}
}
