package load

import (
	"slices"
	"testing"
)

func TestScannerCutsStanzas(t *testing.T) {
	const stream = "<?xml version='1.0'?><stream:stream id='1' from=\"a>b\"> \n" +
		"<stream:features><a/><b>x</b></stream:features>" +
		"<message to='x'><body>1 &lt; 2</body><x><y/></x></message>\n" +
		"<presence/> <iq id='/>' type='result'/>" +
		"<message><body/></message></stream:stream>"
	want := []string{
		"<stream:stream id='1' from=\"a>b\">",
		"<stream:features><a/><b>x</b></stream:features>",
		"<message to='x'><body>1 &lt; 2</body><x><y/></x></message>",
		"<presence/>",
		"<iq id='/>' type='result'/>",
		"<message><body/></message>",
		"</stream:stream>",
	}
	for size := 1; size <= len(stream); size++ {
		var s scanner
		var got []string
		lent := make([]byte, size) // used again, as the loop's buffer is
		for from := 0; from < len(stream); from += size {
			n := copy(lent, stream[from:])
			s.feed(lent[:n])
			for e := s.next(); e != nil; e = s.next() {
				got = append(got, string(e))
			}
			s.keep()
		}
		if !slices.Equal(got, want) {
			t.Fatalf("in pieces of %d bytes: %q", size, got)
		}
		if len(s.buf) != 0 {
			t.Errorf("in pieces of %d bytes, %q is left", size, s.buf)
		}
	}
}

func TestScannerKeepsNoMemoryAtRest(t *testing.T) {
	var s scanner
	s.feed([]byte("<stream:stream><message><body>"))
	for s.next() != nil {
	}
	s.keep()
	s.feed([]byte(string(make([]byte, 10000)) + "</body></message>"))
	if e := s.next(); len(e) < 10000 {
		t.Fatalf("got %d bytes", len(e))
	}
	if s.keep(); s.own != nil || s.buf != nil {
		t.Error("the scanner holds memory with nothing in it")
	}
}

func TestAttribute(t *testing.T) {
	const e = `<iq xml:id='no' id='a&apos;"' type="error" to=''><x inner='1'/></iq>`
	for name, want := range map[string]string{"id": `a&apos;"`, "type": "error", "to": "", "inner": "", "i": ""} {
		if got := string(attribute([]byte(e), name)); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if !failed([]byte(e)) || failed([]byte("<iq type='result'/>")) {
		t.Error("an error is not told from a result")
	}
}

func TestText(t *testing.T) {
	for e, want := range map[string]string{
		"<iq><bind><jid>a@b/c</jid></bind></iq>": "a@b/c",
		"<jid x='>'>a</jid>":                     "a",
		"<jid/>":                                 "",
		"<success xmlns='x'/>":                   "",
	} {
		if got := string(text([]byte(e), "jid")); got != want {
			t.Errorf("%s: got %q, want %q", e, got, want)
		}
	}
}

func TestIs(t *testing.T) {
	for e, want := range map[string]bool{"<iq>": true, "<iq/>": true, "<iq a='1'>": true, "<iqx>": false, "<i>": false, "<": false} {
		if is([]byte(e), "iq") != want {
			t.Errorf("%s: %v", e, !want)
		}
	}
}
