package msgforward

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// An event is a message as it was stored. It is kept as it is and put into the
// destination's format when it is sent, so that a changed format holds for what
// waits, too.
type event struct {
	table  string   // archive or spool
	dir    string   // in or out, as the user sees it
	user   xmpp.JID // whose row it is
	stanza *xmpp.Stanza
	marked bool // a sample that an operator asked for
}

// encode is the event as a job keeps it: lines, and the stanza behind them. No
// address has a line break in it.
func encode(w sm.Storage) []byte {
	st := w.Stanza
	b := make([]byte, 0, 320+len(st.Inner()))
	b = append(b, w.Table...)
	b = append(append(b, '\n'), w.Direction.String()...)
	b = fmt.Appendf(append(b, '\n'), "%d", st.Stamp)
	b = append(append(b, '\n'), w.User.String()...)
	b = append(b, '\n')
	from := len(b)
	return splice(st.AppendXML(b), from)
}

// opening makes the kept stanza a document of its own.
const opening = "<message"

const namespace = " xmlns='" + xmpp.NSClient + "'"

// splice puts the namespace into the stanza that begins at from.
func splice(b []byte, from int) []byte {
	at := from + len(opening)
	b = append(b, namespace...)
	copy(b[at+len(namespace):], b[at:])
	copy(b[at:], namespace)
	return b
}

var errEvent = errors.New("not a message as this server writes it")

// decode reads what encode wrote.
func decode(b []byte) (event, error) {
	parts := strings.SplitN(string(b), "\n", 5)
	if len(parts) != 5 {
		return event{}, errEvent
	}
	e := event{table: parts[0], dir: parts[1]}
	var stamp int64
	if _, err := fmt.Sscanf(parts[2], "%d", &stamp); err != nil {
		return event{}, errEvent
	}
	var err error
	if e.user, err = xmpp.Parse(parts[3]); err != nil {
		return event{}, fmt.Errorf("%w: %w", errEvent, err)
	}
	st, err := xmpp.ParseXML([]byte(parts[4]))
	if err != nil {
		return event{}, fmt.Errorf("%w: %w", errEvent, err)
	}
	e.stanza = st.WithStamp(stamp)
	return e, nil
}

// time is when the server took charge of the message.
func (e event) time() time.Time { return time.UnixMicro(e.stanza.Stamp).UTC() }

// kind is the message's type, as the option `types` names it; empty for what is
// never forwarded.
func kind(st *xmpp.Stanza) string {
	switch st.Type {
	case "chat", "groupchat", "normal":
		return st.Type
	case "":
		return "normal"
	}
	return ""
}

// conversation is what the order of messages is about: a room, or two users.
func conversation(w sm.Storage) string {
	from, to := w.Stanza.From.Bare(), w.Stanza.To.Bare()
	if w.Stanza.Type == "groupchat" {
		if w.Direction == sm.Out {
			return to.String()
		}
		return from.String()
	}
	a, b := from.String(), to.String()
	if a > b {
		a, b = b, a
	}
	return a + " " + b
}
