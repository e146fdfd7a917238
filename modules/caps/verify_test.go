package caps

import (
	"strings"
	"testing"

	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/xmpp"
)

// entity reads what stands between the tags of an answer.
func entity(t *testing.T, inner string) disco.Entity {
	t.Helper()
	el, err := xmpp.ParseElement([]byte(`<query xmlns='`+disco.NSInfo+`'>`+inner+`</query>`), "")
	if err != nil {
		t.Fatal(err)
	}
	return disco.ParseEntity(el)
}

const exodus = `<identity category='client' name='Exodus 0.9.1' type='pc'/>
	<feature var='http://jabber.org/protocol/disco#info'/><feature var='http://jabber.org/protocol/caps'/>
	<feature var='http://jabber.org/protocol/muc'/><feature var='http://jabber.org/protocol/disco#items'/>`

const psi = `<identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>
	<identity xml:lang='el' category='client' name='Ψ 0.11' type='pc'/>
	<feature var='http://jabber.org/protocol/caps'/><feature var='http://jabber.org/protocol/disco#info'/>
	<feature var='http://jabber.org/protocol/disco#items'/><feature var='http://jabber.org/protocol/muc'/>`

const software = `<x xmlns='jabber:x:data' type='result'>
	<field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field>
	<field var='ip_version' type='text-multi'><value>ipv4</value><value>ipv6</value></field>
	<field var='os'><value>Mac</value></field><field var='os_version'><value>10.5.1</value></field>
	<field var='software'><value>Psi</value></field><field var='software_version'><value>0.11</value></field></x>`

func TestVerificationString(t *testing.T) {
	// The examples of XEP-0115 §5.2 and §5.3.
	for _, c := range []struct{ inner, want string }{
		{exodus, "QgayPKawpkPSDYmwT/WM94uAlu0="},
		{psi + software, "q07IKJEyjvHSyhy//CH0CxmKi8w="},
		{software + `<x xmlns='jabber:x:data' type='result'><field var='nothing'><value>counts</value></field></x>` + psi, "q07IKJEyjvHSyhy//CH0CxmKi8w="},
	} {
		if got, err := verification(entity(t, c.inner), "sha-1"); got != c.want || err != nil {
			t.Errorf("%s\ngot %q, %v, want %q", c.inner, got, err, c.want)
		}
	}
}

func TestOtherHashes(t *testing.T) {
	sizes := map[string]int{"sha-1": 28, "sha-224": 40, "sha-256": 44, "sha-384": 64, "sha-512": 88}
	for name, size := range sizes {
		if got, err := verification(entity(t, exodus), name); len(got) != size || err != nil {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "md5", "sha1", "SHA-1"} {
		if _, err := verification(entity(t, exodus), name); err == nil {
			t.Errorf("%q is taken for a hash", name)
		}
	}
}

// What is hashed does not say where its parts begin. These entities would have
// the string of an honest one if they were accepted.
func TestNothingElseHasAnHonestName(t *testing.T) {
	id := `<identity category='client' type='pc' name='x'/>`
	feature := func(names ...string) string {
		var b strings.Builder
		for _, n := range names {
			b.WriteString(`<feature var='` + n + `'/>`)
		}
		return b.String()
	}
	hidden := func(name, fields string) string {
		return `<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>` + name + `</value></field>` + fields + `</x>`
	}
	for what, inner := range map[string]string{
		"two features in one":           id + feature("http://a&lt;http://b", "urn:c"),
		"features inside an identity":   `<identity category='client' type='pc' name='x&lt;http://a'/>` + feature("urn:b"),
		"a feature as an identity":      id + `<identity category='http:' type='' xml:lang='a' name='b'/>` + feature("urn:b"),
		"a feature as a typed identity": id + `<identity category='urn:x' type='y' name='b'/>` + feature("urn:b"),
		"a feature as an empty form":    id + feature("urn:a") + hidden("urn:b", ""),
		"features as a form":            id + feature("urn:a") + hidden("urn:b", `<field var='urn:c'><value>urn:d</value></field>`),
		"features as a field":           id + feature("urn:a") + hidden("urn:b", `<field var='vcard-temp'/>`),
		"a line in a form":              id + feature("urn:a") + hidden("urn:b", `<field var='os'><value>x&lt;y</value></field>`),
		"identities as features":        feature("client/pc//x", "urn:a"),
		"the same identity twice":       id + id + feature("urn:a"),
		"the same feature twice":        id + feature("urn:a", "urn:a"),
		"an empty feature":              id + feature("", "urn:a"),
		"the same form twice":           id + feature("urn:a") + software + software,
		"two form types": id + `<x xmlns='jabber:x:data'><field var='FORM_TYPE' type='hidden'><value>a</value><value>b</value></field>
			<field var='os'><value>x</value></field></x>`,
		"two fields of form type": id + `<x xmlns='jabber:x:data'><field var='FORM_TYPE' type='hidden'><value>a</value></field>
			<field var='FORM_TYPE' type='hidden'><value>b</value></field><field var='os'><value>x</value></field></x>`,
		"the same field twice": id + hidden("a", `<field var='os'><value>x</value></field><field var='os'><value>y</value></field>`),
		"too long a feature":   id + feature("urn:"+strings.Repeat("x", maxFeature)),
	} {
		if got, err := verification(entity(t, inner), "sha-1"); err == nil {
			t.Errorf("%s has a name: %s", what, got)
		}
	}
	var many []string
	for i := range maxFeatures + 1 {
		many = append(many, "urn:"+strings.Repeat("y", i))
	}
	if _, err := verification(entity(t, id+feature(many...)), "sha-1"); err == nil {
		t.Errorf("%d features have a name", len(many))
	}
}

func TestRead(t *testing.T) {
	for _, c := range []struct {
		xml string
		ok  bool
	}{
		{`<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='v'/>`, true},
		{`<c xmlns='http://jabber.org/protocol/caps' node='n' ver='0.9' ext='muc'/>`, false},
		{`<c xmlns='http://jabber.org/protocol/caps' hash='md5' node='n' ver='v'/>`, false},
		{`<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n'/>`, false},
		{`<c xmlns='urn:xmpp:caps' hash='sha-1' node='n' ver='v'/>`, false},
		{`<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='` + strings.Repeat("v", maxVer+1) + `'/>`, false},
		{`<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='` + strings.Repeat("n", maxNode+1) + `' ver='v'/>`, false},
		{``, false},
	} {
		st, err := xmpp.ParseXML([]byte(`<presence xmlns='jabber:client'>` + c.xml + `</presence>`))
		if err != nil {
			t.Fatal(err)
		}
		got, ok := Read(st)
		if ok != c.ok || ok && got != (Caps{"sha-1", "n", "v"}) {
			t.Errorf("%s: got %v, %v", c.xml, got, ok)
		}
	}
}
