package form_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/form"
)

func asked(t *testing.T) *form.Form {
	return mustParse(t, `<x xmlns='jabber:x:data' type='form'>`+
		`<field var='FORM_TYPE' type='hidden'><value>urn:kind</value></field>`+
		`<field type='fixed' var='heading'><value>General</value></field>`+
		`<field var='name' type='text-single'><required/><value>old</value></field>`+
		`<field var='on' type='boolean'><value>1</value></field>`+
		`<field var='about' type='text-multi'/>`+
		`<field var='secret' type='text-private'/>`+
		`<field var='who' type='jid-single'/>`+
		`<field var='all' type='jid-multi'/>`+
		`<field var='one' type='list-single'><option><value>a</value></option><option><value>b</value></option></field>`+
		`<field var='some' type='list-multi'><option><value>a</value></option><option><value>b</value></option></field>`+
		`<field var='maybe' type='list-single'><option label='none'><value/></option><option><value>a</value></option></field>`+
		`<field var='open' type='list-single'><validate xmlns='http://jabber.org/protocol/xdata-validate'><open/></validate><option><value>a</value></option></field>`+
		`<field var='later' type='date-picker'/>`+
		`</x>`)
}

// answer is a form that was filled in: "name=value", "name" for no value.
func answer(pairs ...string) *form.Form {
	f := form.New(form.Submit, "urn:kind")
	for _, p := range pairs {
		name, values, has := strings.Cut(p, "=")
		fd := form.Field{Var: name}
		if has {
			fd.Values = strings.Split(values, "|")
		}
		f.Fields = append(f.Fields, fd)
	}
	return f
}

func TestAnswersAreAccepted(t *testing.T) {
	for _, c := range []struct {
		given []string
		want  map[string][]string
	}{
		{[]string{"name=x"}, map[string][]string{"name": {"x"}}},
		{[]string{"name=x", "unknown=y", "heading=z"}, map[string][]string{"name": {"x"}}},
		{[]string{"name=x", "on=true"}, map[string][]string{"name": {"x"}, "on": {"1"}}},
		{[]string{"name=x", "on=0"}, map[string][]string{"name": {"x"}, "on": {"0"}}},
		{[]string{"name=x", "on"}, map[string][]string{"name": {"x"}, "on": nil}},
		{[]string{"name=x", "on="}, map[string][]string{"name": {"x"}, "on": nil}},
		{[]string{"name=x", "about=a||b\nc"}, map[string][]string{"name": {"x"}, "about": {"a", "", "b", "c"}}},
		{[]string{"name=x", "who=A@EXAMPLE.com"}, map[string][]string{"name": {"x"}, "who": {"a@example.com"}}},
		{[]string{"name=x", "who="}, map[string][]string{"name": {"x"}, "who": nil}},
		{[]string{"name=x", "all=a@example.com|A@example.com||b@example.com"}, map[string][]string{"name": {"x"}, "all": {"a@example.com", "b@example.com"}}},
		{[]string{"name=x", "one=b"}, map[string][]string{"name": {"x"}, "one": {"b"}}},
		{[]string{"name=x", "one="}, map[string][]string{"name": {"x"}, "one": nil}},
		{[]string{"name=x", "some=b|a|b"}, map[string][]string{"name": {"x"}, "some": {"b", "a"}}},
		{[]string{"name=x", "some"}, map[string][]string{"name": {"x"}, "some": nil}},
		{[]string{"name=x", "maybe="}, map[string][]string{"name": {"x"}, "maybe": {""}}},
		{[]string{"name=x", "open=anything"}, map[string][]string{"name": {"x"}, "open": {"anything"}}},
		{[]string{"name=x", "secret=", "later=1"}, map[string][]string{"name": {"x"}, "secret": {""}, "later": {"1"}}},
	} {
		got, err := asked(t).Accept(answer(c.given...))
		if err != nil {
			t.Errorf("%q: %v", c.given, err)
			continue
		}
		values := map[string][]string{}
		for _, fd := range got.Fields {
			if fd.Var != "FORM_TYPE" {
				values[fd.Var] = fd.Values
			}
		}
		if d := cmp.Diff(c.want, values); d != "" {
			t.Errorf("%q: %s", c.given, d)
		}
		if got.FormType() != "urn:kind" || got.Kind != form.Submit {
			t.Errorf("%q: a %s of %q", c.given, got.Kind, got.FormType())
		}
	}
}

func TestAnswersAreRefused(t *testing.T) {
	for _, c := range []struct{ given, field string }{
		{"on=1", "name"},
		{"name", "name"},
		{"name=", "name"},
		{"name=x|y", "name"},
		{"name=x on=yes", "on"},
		{"name=x on=1|1", "on"},
		{"name=x secret=a|b", "secret"},
		{"name=x who=@", "who"},
		{"name=x who=a@example.com|b@example.com", "who"},
		{"name=x all=a@example.com|@", "all"},
		{"name=x one=c", "one"},
		{"name=x one=A", "one"},
		{"name=x one=a|b", "one"},
		{"name=x some=a|c", "some"},
		{"name=x maybe=b", "maybe"},
		{"name=x later=1|2", "later"},
	} {
		_, err := asked(t).Accept(answer(strings.Fields(c.given)...))
		var m *form.Mistake
		if !errors.As(err, &m) || m.Var != c.field {
			t.Errorf("%s: %v, want a mistake in %s", c.given, err, c.field)
			continue
		}
		if e := xmpp.AsError(err); !errors.Is(e, xmpp.NotAcceptable) || !strings.Contains(e.Text, c.field) {
			t.Errorf("%s: on the wire %v", c.given, e)
		}
	}
}

func TestWhatIsNoAnswerIsRefused(t *testing.T) {
	other := form.New(form.Submit, "urn:other", form.Field{Var: "name", Values: []string{"x"}})
	for what, f := range map[string]*form.Form{
		"nothing": nil, "a form that asks": form.New(form.Ask, "urn:kind"), "a cancelled form": form.New(form.Cancel, ""), "another form": other,
	} {
		if _, err := asked(t).Accept(f); !errors.Is(err, xmpp.BadRequest) {
			t.Errorf("%s: %v", what, err)
		}
	}
	other.Fields = other.Fields[1:]
	if _, err := asked(t).Accept(other); err != nil {
		t.Errorf("an answer that does not say what kind it is: %v", err)
	}
}

func TestRequiredListNeedsAChoice(t *testing.T) {
	f := form.New(form.Ask, "", form.ListField("one", "", "", form.Option{Value: "a"}).Require(),
		form.ListField("none", "", "", form.Option{Value: ""}, form.Option{Value: "a"}).Require())
	for given, ok := range map[string]bool{"one=a none=": true, "one=a none=a": true, "one= none=a": false, "none=a": false, "one=a": false} {
		_, err := f.Accept(answer(strings.Fields(given)...))
		if (err == nil) != ok {
			t.Errorf("%s: %v", given, err)
		}
	}
}

func TestAcceptLeavesTheAnswerAsItIs(t *testing.T) {
	given := answer("name=x", "some=|a||b")
	if _, err := asked(t).Accept(given); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"", "a", "", "b"}, given.Values("some")); d != "" {
		t.Error(d)
	}
}
