package stream_test

import (
	"encoding/xml"
	"io"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/xmpp/stream"
)

// FuzzSplit: any split gives the same as one read, also within limits.
func FuzzSplit(f *testing.F) {
	for i, s := range documents() {
		f.Add("<s xmlns:x='ex'>"+s+"</s>", uint16(i), uint8(1+i%9), uint8(i))
	}
	f.Add(header+stanzas[0]+" </stream:stream>", uint16(200), uint8(1), uint8(0))
	f.Fuzz(func(t *testing.T, s string, first uint16, step, limit uint8) {
		sameHoweverSplit(t, s, stream.Limits{}, int(first)+1, int(step)+1)
		small := stream.Limits{Size: 4 * int(limit), Depth: int(limit % 8), Attrs: int(limit % 5), Elements: int(limit % 16)}
		sameHoweverSplit(t, s, small, int(first)+1, int(step)+1)
	})
}

// FuzzEncodingXML: whatever is taken, encoding/xml takes as well.
func FuzzEncodingXML(f *testing.F) {
	for _, s := range documents() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		fr, err := stream.New(stream.Limits{}).Document([]byte(s))
		if err != nil {
			return
		}
		d := xml.NewDecoder(strings.NewReader("<root>" + common(string(fr.Raw)) + "</root>"))
		depth := 0
		for {
			tok, err := d.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("encoding/xml refuses %q: %v", fr.Raw, err)
			}
			switch tok.(type) {
			case xml.StartElement:
				depth++
			case xml.EndElement:
				depth--
			case xml.Comment, xml.ProcInst, xml.Directive:
				t.Fatalf("%q has %T", fr.Raw, tok)
			}
		}
		if depth != 0 {
			t.Fatalf("%q is not closed", fr.Raw)
		}
	})
}
