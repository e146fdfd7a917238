package msgforward

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"github.com/gabberd/gabberd/modules/msgforward/target"
	"github.com/gabberd/gabberd/xmpp"
)

// The formats of a body.
const (
	formatJSON       = "json"
	formatForm       = "form"
	formatXML        = "xml"
	formatMongooseIM = "mongooseim"
)

const typeForm = "application/x-www-form-urlencoded"

// timeLayout is ISO 8601 with microseconds, in UTC.
const timeLayout = "2006-01-02T15:04:05.000000Z07:00"

// A body is a message in the format json. Names are only ever added.
type body struct {
	ID        string `json:"id"` // the stanza-id: the same over all tries, also in the archive
	Host      string `json:"host"`
	Stored    string `json:"stored"`    // archive or offline
	User      string `json:"user"`      // whose row it was
	Direction string `json:"direction"` // in or out, as the user sees it
	From      string `json:"from"`
	To        string `json:"to"`
	Type      string `json:"type"`
	MessageID string `json:"message_id,omitempty"` // what the sender's client calls it
	Lang      string `json:"lang,omitempty"`
	Subject   string `json:"subject,omitempty"`
	Body      string `json:"body"`
	Timestamp string `json:"timestamp"`
	XML       string `json:"xml"`
	Test      bool   `json:"test,omitempty"` // a sample that an operator asked for
}

// message puts an event into the destination's format.
func (d *destination) message(host, id, group string, e event) (target.Message, error) {
	m := target.Message{ID: id, Group: group}
	st := e.stanza
	switch d.Format {
	case formatForm:
		m.Type, m.Body = typeForm, formOf(id, e)
		m.Head = postLog(e)
	case formatXML:
		m.Type, m.Body = "text/xml", []byte(st.XML())
		m.Head = postLog(e)
	case formatMongooseIM:
		// mod_event_pusher_http: names of users, without their domains.
		m.Type = typeForm
		m.Body = []byte(url.Values{
			"author": {st.From.Local()}, "server": {host}, "receiver": {st.To.Local()}, "message": {st.Body()},
		}.Encode())
	default:
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(bodyOf(host, id, e)); err != nil {
			return m, fmt.Errorf("write as JSON: %w", err)
		}
		m.Type, m.Body = "application/json", bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	}
	return m, nil
}

func bodyOf(host, id string, e event) body {
	st := e.stanza
	b := body{
		ID: id, Host: host, Stored: e.table, User: e.user.String(), Direction: e.dir, From: st.From.String(), To: st.To.String(),
		Type: kind(st), MessageID: st.ID, Lang: st.Lang, Subject: subject(st), Body: st.Body(),
		Timestamp: e.time().Format(timeLayout), XML: st.XML(), Test: e.marked,
	}
	if e.table == "spool" {
		b.Stored = "offline"
	}
	return b
}

func subject(st *xmpp.Stanza) string { return st.Child(xmpp.NSClient, "subject").Text() }

// formOf is the fields that mod_offline_http_post and its relatives send.
func formOf(id string, e event) []byte {
	st := e.stanza
	v := url.Values{
		"from": {st.From.String()}, "to": {st.To.String()}, "type": {kind(st)}, "body": {st.Body()}, "subject": {subject(st)},
		"message_id": {st.ID}, "id": {id}, "timestamp": {e.time().Format(timeLayout)}, "vhost": {st.To.Domain()},
	}
	return []byte(v.Encode())
}

// postLog is the headers of mod_post_log.
func postLog(e event) map[string]string {
	return map[string]string{
		"X-Message-Timestamp": e.time().Format("2006-01-02 15:04:05.000000Z"),
		"X-Message-From":      e.stanza.From.String(),
		"X-Message-To":        e.stanza.To.String(),
	}
}

// sample is the marked message of forward_test.
func sample(domain xmpp.JID, now time.Time) event {
	st := xmpp.NewMessage("chat", domain, domain, xmpp.TextEl(xmpp.NSClient, "body", "This is a test of mod_msg_forward."))
	return event{table: "archive", dir: "out", user: domain, stanza: st.WithID("forward_test").WithStamp(now.UnixMicro()), marked: true}
}
