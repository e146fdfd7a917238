package cluster

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

func parse(t testing.TB, xml string) *xmpp.Stanza {
	t.Helper()
	st, err := xmpp.ParseXML([]byte(xml))
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestStanzasComeOutAsTheyWentIn(t *testing.T) {
	to := xmpp.MustParse("juliet@localhost/Zürich 🌹")
	for _, xml := range []string{
		`<message to='juliet@localhost' from='romeo@localhost/r' id='1' type='chat'><body>hi</body></message>`,
		`<message to='juliet@localhost' xml:lang='it' xmlns:x='urn:x' x:a='b'><x:el/><body>&lt;ü&amp;</body></message>`,
		`<presence to='juliet@localhost/x' from='a@b/c'/>`,
		`<iq to='juliet@localhost/x' from='a@b/c' type='get' id='&apos;'><query xmlns='jabber:iq:last'/></iq>`,
	} {
		st := parse(t, xml)
		p, err := readStanza(stream.New(stream.Limits{}), stanzaBody(nil, "localhost", to, st))
		if err != nil {
			t.Fatalf("%s: %v", xml, err)
		}
		if p.domain != "localhost" || p.to != to || p.st.String() != st.String() {
			t.Errorf("%s came out as %s for %s at %s", st, p.st, p.to, p.domain)
		}
	}
}

func TestControlFramesComeOutAsTheyWentIn(t *testing.T) {
	user := xmpp.MustParse("juliet@localhost")
	id := sm.ID{Time: time.UnixMicro(1_700_000_000_123_456), N: 7, Node: "gabberd@here"}
	for _, reason := range []*stream.Error{nil, stream.Conflict.With("Replaced <ü>"), stream.SeeOtherHost.At("other:5222")} {
		e, err := readClose(closeBody("localhost", user, id, reason))
		if err != nil || e.domain != "localhost" || e.user != user || e.id != id {
			t.Errorf("%+v, %v", e, err)
		}
		if (e.reason == nil) != (reason == nil) || reason != nil && *e.reason != *reason {
			t.Errorf("got %+v, want %+v", e.reason, reason)
		}
	}
	h, err := readEvent(eventBody("", "config_reloaded", []byte(`{"a":1}`)))
	if err != nil || h.domain != "" || h.event != "config_reloaded" || string(h.payload) != `{"a":1}` {
		t.Errorf("%+v, %v", h, err)
	}
	spans, err := readCharge(chargeBody([]uint64{1, 2, 3, 7, 9, 10}))
	if want := []span{{1, 3}, {7, 7}, {9, 10}}; err != nil || !slices.Equal(spans, want) {
		t.Errorf("%v, %v", spans, err)
	}
}

func TestMalformedFramesAreForeign(t *testing.T) {
	user := xmpp.MustParse("juliet@localhost")
	full := xmpp.MustParse("juliet@localhost/x")
	st := parse(t, `<message to='juliet@localhost'/>`)
	bad := map[string]error{}
	_, bad["an empty batch"] = splitFrames(nil)
	_, bad["another version"] = splitFrames([]byte{2})
	_, bad["a frame that is cut off"] = splitFrames([]byte{frameVersion, 's', 5, 'x'})
	_, bad["a length without end"] = splitFrames(append([]byte{frameVersion, 's'}, bytes.Repeat([]byte{0xff}, 12)...))
	_, bad["too many frames"] = splitFrames(append([]byte{frameVersion}, bytes.Repeat([]byte{'x', 0}, maxFrames+1)...))
	f := stream.New(stream.Limits{})
	_, bad["no session"] = readStanza(f, stanzaBody(nil, "localhost", user, st))
	_, bad["no stanza"] = readStanza(f, append(appendBytes(appendBytes(nil, "localhost"), full.String()), "<a/>"...))
	_, bad["no XML"] = readStanza(f, append(appendBytes(appendBytes(nil, "localhost"), full.String()), "<message"...))
	_, bad["a stanza for nobody"] = readStanza(f, append(appendBytes(appendBytes(nil, "localhost"), full.String()), "<message/>"...))
	_, bad["a condition that is markup"] = readClose(closeBody("localhost", user, sm.ID{}, &stream.Error{Condition: "x/><evil"}))
	_, bad["sequence number 0"] = readCharge(chargeBody([]uint64{0}))
	_, bad["more numbers than there can be"] = readCharge([]byte{1, 0xff, 0xff, 0xff, 0xff, 0x0f})
	_, bad["numbers that begin anew"] = readCharge([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 5})
	_, bad["no fields"] = readLetter("1-0", nil)
	_, bad["other fields"] = readLetter("1-0", map[string]any{"n": "a", "e": "1", "f": "1", "a": "0", "s": "x", "b": ""})
	for what, err := range bad {
		if !errors.Is(err, errForeign) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Whatever is in a letter, reading it neither panics nor takes memory that is not
// in proportion; and what can be read can be written again.
func FuzzFrames(f *testing.F) {
	to := xmpp.MustParse("juliet@localhost/x")
	st := parse(f, `<message to='juliet@localhost' id='1'><body>hi</body></message>`)
	b := appendFrame([]byte{frameVersion}, frameStanza, stanzaBody(nil, "localhost", to, st))
	b = appendFrame(b, frameClose, closeBody("localhost", to, sm.ID{Time: time.UnixMicro(5), N: 6, Node: "n"}, stream.Conflict.With("x")))
	b = appendFrame(b, frameEvent, eventBody("localhost", "e", []byte("p")))
	b = appendFrame(b, frameCharge, chargeBody([]uint64{1, 2, 3, 7}))
	f.Add(appendFrame(b, frameBye, nil))
	f.Add([]byte{frameVersion, 's', 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add([]byte{})
	framer := stream.New(stream.Limits{})
	f.Fuzz(func(t *testing.T, b []byte) {
		frames, err := splitFrames(b)
		if err != nil {
			return
		}
		again := []byte{frameVersion}
		for _, fr := range frames {
			again = appendFrame(again, fr.kind, fr.body)
			if p, err := readStanza(framer, fr.body); err == nil {
				q, err := readStanza(framer, stanzaBody(nil, p.domain, p.to, p.st))
				if err != nil || q.st.String() != p.st.String() || q.to != p.to {
					t.Fatalf("%s was read as %s: %v", p.st, q.st, err)
				}
			}
			if e, err := readClose(fr.body); err == nil {
				if _, err := readClose(closeBody(e.domain, e.user, e.id, e.reason)); err != nil {
					t.Fatal(err)
				}
			}
			if spans, err := readCharge(fr.body); err == nil {
				n := uint64(0)
				for _, s := range spans {
					n += s.last - s.first + 1
				}
				if n > maxSafe {
					t.Fatalf("%d numbers", n)
				}
			}
		}
		if same, err := splitFrames(again); err != nil || len(same) != len(frames) {
			t.Fatalf("%d frames became %d: %v", len(frames), len(same), err)
		}
	})
}
