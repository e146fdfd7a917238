package play

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"

	"mellium.im/xmpp"
	"mellium.im/xmpp/jid"
)

const nsBind = "urn:ietf:params:xml:ns:xmpp-bind"

// bind asks for a resource. Mellium's own feature takes the resource from the
// address in the server's stream header, which has none.
func bind(resource string) xmpp.StreamFeature {
	return xmpp.StreamFeature{
		Name:       xml.Name{Space: nsBind, Local: "bind"},
		Necessary:  xmpp.Authn,
		Prohibited: xmpp.Ready,
		Parse: func(_ context.Context, d *xml.Decoder, start *xml.StartElement) (bool, any, error) {
			return true, nil, d.DecodeElement(&struct{}{}, start)
		},
		Negotiate: func(_ context.Context, s *xmpp.Session, _ any) (xmpp.SessionState, io.ReadWriter, error) {
			request := "<iq type='set' id='bind'><bind xmlns='" + nsBind + "'/></iq>"
			if resource != "" {
				request = "<iq type='set' id='bind'><bind xmlns='" + nsBind + "'><resource>" + escape(resource) + "</resource></bind></iq>"
			}
			if _, err := io.WriteString(s.Conn(), request); err != nil {
				return 0, nil, err
			}
			full, err := bound(s)
			if err != nil {
				return 0, nil, err
			}
			s.UpdateAddr(full)
			return xmpp.Ready, nil, nil
		},
	}
}

// bound reads the answer to a request for a resource.
func bound(s *xmpp.Session) (jid.JID, error) {
	r := s.TokenReader()
	defer r.Close()
	for {
		tok, err := r.Token()
		if err != nil {
			return jid.JID{}, err
		}
		start, ok := tok.(xml.StartElement)
		if !ok {
			continue
		}
		answer, err := readElement(r, start)
		if err != nil {
			return jid.JID{}, err
		}
		if answer.attr("type") != "result" || len(answer.children) != 1 || len(answer.children[0].children) != 1 {
			return jid.JID{}, fmt.Errorf("bind: %s", answer)
		}
		return jid.Parse(answer.children[0].children[0].text)
	}
}
