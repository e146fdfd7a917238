package mam

import (
	"strings"
	"testing"

	"github.com/gabberd/gabberd/xmpp"
)

// str is a string as ejabberd writes it.
func str(s string) string {
	n := len(s)
	switch {
	case n < 1<<6:
		return string([]byte{byte(n)}) + s
	case n < 1<<12:
		return string([]byte{byte(n&63) | 64, byte(n >> 6)}) + s
	}
	return string([]byte{byte(n&63) | 64, byte(n>>6&63) | 64, byte(n >> 12)}) + s
}

// What ejabberd has compressed, by its rules: what a byte stands for is in its table.
func TestCompressedMessages(t *testing.T) {
	const user, peer = "juliet@localhost", "romeo@localhost/orchard"
	long, longer := strings.Repeat("x", 100), strings.Repeat("y", 10_000)
	for _, x := range []struct{ name, data, want string }{
		{"a chat message", "\x01\x06" + "\x0f\x09" + str("/balcony") + "\x03\x0b\x06" + str("m1") + "\x02" +
			"\x08\x02\x01" + str("It is <the> east") + "\x04" + "\x04",
			`<message xml:lang='en' to='juliet@localhost/balcony' from='romeo@localhost/orchard' type='chat' id='m1'><body>It is &lt;the&gt; east</body></message>`},
		{"of hers", "\x01\x06" + "\x04" + str("/balcony") + "\x08\x0d\x02" + "\x08\x02\x01" + str("a") + "\x04\x04",
			`<message from='juliet@localhost/balcony' to='romeo@localhost/orchard' type='normal'><body>a</body></message>`},
		{"spelt out", "\x01\x06" + "\x05" + str("a@b") + "\x0a" + str("c@d") + "\x0e" + str("headline") + "\x10" + str("de") + "\x01" + str("odd") + str(`'"`) + "\x02\x04",
			`<message from='a@b' to='c@d' type='headline' xml:lang='de' odd='&apos;&quot;'></message>`},
		{"elements with and without a code", "\x01\x06\x03\x07\x0c\x02" +
			"\x16\x03" + str("juliet@localhost") + "\x04" + str("123") + "\x02\x04" + // stanza-id
			"\x03" + str("urn:example") + str("thing") + "\x01" + str("k") + str("v") + "\x02" + "\x02" + str("part") + "\x02\x01" + str("t") + "\x04" + "\x08\x02\x04" + "\x04" +
			"\x02" + str("own") + "\x02\x04" +
			"\x04",
			`<message from='romeo@localhost/orchard' to='juliet@localhost' type='groupchat'>` +
				`<stanza-id xmlns='urn:xmpp:sid:0' by='juliet@localhost' id='123'></stanza-id>` +
				`<thing xmlns='urn:example' k='v'><part>t</part><body xmlns='jabber:client'></body></thing><own></own></message>`},
		{"OMEMO", "\x01\x06\x03\x07\x02\x0c\x02\x0d\x03" + str("1") + "\x02\x05\x03\x05" + str("2") + "\x02\x01" + str("KEY") + "\x04\x0e\x02\x01" + str("IV") + "\x04\x04\x0f\x02\x01" + str("P") + "\x04\x04" +
			"\x10\x03\x05\x02\x04\x08\x02\x09\x04\x07\x02\x04\x04",
			`<message from='romeo@localhost/orchard' to='juliet@localhost'><encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'><key prekey='true' rid='2'>KEY</key><iv>IV</iv></header><payload>P</payload></encrypted>` +
				`<encryption xmlns='urn:xmpp:eme:0' name='OMEMO' namespace='eu.siacs.conversations.axolotl'></encryption>` +
				`<body>I sent you an OMEMO encrypted message but your client doesn’t seem to support that. Find more information on https://conversations.im/omemo</body><store xmlns='urn:xmpp:hints'></store></message>`},
		{"others of the table", "\x01\x06\x02" + "\x14\x03" + str("i") + "\x05" + str("/x") + "\x02\x04" + "\x11\x03\x05" + str("now") + "\x02\x04" + "\x1e\x03\x02\x04" + "\x27\x02\x04" + "\x26\x03" + str("r") + "\x02\x04" + "\x04",
			`<message><displayed xmlns='urn:xmpp:chat-markers:0' id='i' sender='romeo@localhost/orchard/x'></displayed><delay xmlns='urn:xmpp:delay' from='juliet@localhost' stamp='now'></delay>` +
				`<x xmlns='jabber:x:conference' jid='romeo@localhost/orchard'></x><composing xmlns='http://jabber.org/protocol/chatstates'></composing><replace xmlns='urn:xmpp:message-correct:0' id='r'></replace></message>`},
		{"long", "\x01\x06\x02\x08\x02\x01" + str(long) + "\x01" + str(longer) + "\x04\x04", `<message><body>` + long + longer + `</body></message>`},
	} {
		got, err := expand(x.data, user, peer)
		if err != nil || got != x.want {
			t.Errorf("%s: %v\n got %s\nwant %s", x.name, err, got, x.want)
		}
		if err == nil {
			if _, err := xmpp.ParseElement([]byte(got), nsClient); err != nil {
				t.Errorf("%s: %v", x.name, err)
			}
		}
		for n := 1; n < len(x.data) && n < 200; n++ { // cut off
			if got, err := expand(x.data[:n], user, peer); err == nil {
				t.Errorf("%s: %d bytes are %s", x.name, n, got)
			}
		}
	}
}

func TestCompressedMessagesAreBounded(t *testing.T) {
	for name, data := range map[string]string{
		"unknown element":   "\x01\x28\x02\x04",
		"no element":        "\x01\x09",
		"text at the top":   "\x01\x01" + str("x"),
		"end at the top":    "\x01\x04",
		"unknown attribute": "\x01\x06\x20\x02\x04",
		"long string":       "\x01\x06\x06\x7f\x7f\xff",
		"no length":         "\x01\x06\x06\x80",
		"deep":              "\x01" + strings.Repeat("\x06\x02", 1000) + strings.Repeat("\x04", 1000),
		"big":               "\x01\x06\x02\x08\x02" + strings.Repeat("\x09", 1<<20) + "\x04\x04",
	} {
		if got, err := expand(data, "a@b", "c@d"); err == nil {
			t.Errorf("%s: %.100s", name, got)
		}
	}
}

// Rows that ejabberd has compressed are found, and one that nobody can read is left
// out of a page and does not end it.
func TestCompressedRowsAreFound(t *testing.T) {
	each(t, func(t *testing.T, s store) {
		const fill = `INSERT INTO archive ({server_host,} username, timestamp, peer, bare_peer, xml, txt, kind, nick, origin_id)
			VALUES ({?host,} 'juliet', ?, 'romeo@localhost/orchard', 'romeo@localhost', ?, '', 'chat', '', ?)`
		for i, xml := range []string{
			"\x01\x06\x03\x07\x0b\x06" + str("m1") + "\x02\x08\x02\x01" + str("one") + "\x04\x04",
			"\x01\x28",
			`<message from='romeo@localhost/orchard' to='juliet@localhost'><body>two</body></message>`,
		} {
			if _, err := s.Exec(t.Context(), fill, int64(i+1), xml, "o"); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		for p := (page{max: 1, index: -1}); ; {
			r, err := s.find(t.Context(), filter{user: juliet, with: romeo}, p)
			if err != nil || len(r.rows) > 1 {
				t.Fatalf("got %v, %v", r, err)
			}
			for _, x := range r.rows {
				p.after = x.stamp
				if el, err := x.message(); err == nil {
					got = append(got, el.Attr("from")+" "+el.Child(nsClient, "body").Text())
				}
			}
			if r.complete {
				break
			}
		}
		if want := "romeo@localhost/orchard one, romeo@localhost/orchard two"; strings.Join(got, ", ") != want {
			t.Errorf("got %q", got)
		}
		if x, err := s.named(t.Context(), Storing{User: juliet, Peer: romeo}, "m1", romeo); err != nil || x.stamp != 1 {
			t.Errorf("by its name: %v, %v", x, err)
		}
		page, err := s.rowsAfter(t.Context(), juliet, 0)
		m := &mam{}
		if list := m.sentTo(juliet, page); err != nil || len(list) != 2 || list[0].Body() != "one" {
			t.Errorf("recalled %v, %v", list, err)
		}
	})
}

func FuzzExpand(f *testing.F) {
	f.Add("\x01\x06\x03\x07\x0b\x06" + str("m1") + "\x02\x08\x02\x01" + str("one") + "\x04\x04")
	f.Add("\x01\x06\x02\x03" + str("urn:example") + str("thing") + "\x01" + str("k") + str("v") + "\x02\x04\x04")
	f.Fuzz(func(t *testing.T, data string) {
		if !strings.HasPrefix(data, "\x01") {
			return
		}
		text, err := expand(data, "juliet@localhost", "romeo@localhost/orchard")
		if err == nil && len(text) > 2*maxExpanded+len(data)*6 {
			t.Errorf("%d bytes become %d", len(data), len(text))
		}
	})
}
