package blocking

import (
	"cmp"
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

const (
	nsReporting = "urn:xmpp:reporting:1"
	nsSID       = "urn:xmpp:sid:0"
)

// Bounds on what is kept of reports.
const (
	maxReports = 10_000 // of a virtual host: the oldest go
	maxHourly  = 20     // of one user in an hour: more are not kept
	maxText    = 1000   // bytes
	maxIDs     = 10     // reported messages
)

// A report is what a user says about somebody whom he blocks (XEP-0377).
type report struct {
	At       time.Time
	Reporter string
	JID      string
	Reason   string // spam, abuse, or another URN
	Text     string // in the user's words, and the ids of messages
}

// readReport never fails: whatever is wrong with a report, the address is blocked
// (XEP-0377 §6).
func readReport(el *xmpp.Element, about xmpp.JID) report {
	reason := cmp.Or(strings.TrimPrefix(el.Attr("reason"), "urn:xmpp:reporting:"), "unknown")
	text, ids := "", []string{}
	for c := range el.Children() {
		switch {
		case c.Is(nsReporting, "text") && text == "":
			text = strings.Join(strings.Fields(c.Text()), " ")
		case c.Is(nsSID, "stanza-id") && len(ids) < maxIDs:
			ids = append(ids, clip(c.Attr("id"), 64))
		}
	}
	text = clip(text, maxText)
	if len(ids) > 0 {
		text = strings.TrimSpace(text + " [" + strings.Join(ids, " ") + "]")
	}
	return report{JID: about.String(), Reason: clip(reason, 100), Text: text}
}

// clip cuts a text to n bytes, between characters.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// report keeps what a user has said and tells the operators.
func (m *blocking) report(ctx context.Context, user xmpp.JID, said []report) {
	if len(said) == 0 || !m.Access.Allows(m.host.Rules, local.Subject(user)) {
		return
	}
	already, err := m.reports.since(ctx, user, time.Now().Add(-time.Hour))
	for i, r := range said {
		if err == nil && already+i >= maxHourly {
			m.host.Log.Info("further reports of a user are not kept", "user", user.String())
			return
		}
		r.Reporter = user.String()
		if err == nil {
			err = m.reports.add(ctx, r)
		}
		if err != nil {
			m.host.Log.Error("a report of spam is not stored", "user", r.Reporter, "about", r.JID, "error", err)
			return
		}
		m.host.Log.Info("spam was reported", "user", r.Reporter, "about", r.JID, "reason", r.Reason, "text", r.Text)
		for _, to := range m.ReportTo {
			j, err := xmpp.Parse(to)
			if err != nil {
				continue // the option is checked
			}
			body := r.Reporter + " has blocked " + r.JID + " and reports: " + strings.TrimSpace(r.Reason+" "+r.Text)
			m.host.Send(ctx, xmpp.NewMessage("", m.host.JID, j, xmpp.TextEl(xmpp.NSClient, "body", body)))
		}
	}
}

// schema is ours: ejabberd keeps no reports.
var schema = storage.Version{storage.Table{
	Name:    "gabberd_spam_report",
	Columns: "id bigserial, server_host text, reporter text, jid text, reason text, words text, created_at timestamp",
	Indexes: "unique(id); index(server_host, reporter); index(server_host, jid)",
}}

type reports struct{ *storage.DB }

// since counts the reports of a user.
func (s reports) since(ctx context.Context, user xmpp.JID, t time.Time) (int, error) {
	var n int64
	err := s.Get(ctx, []any{&n}, `SELECT COUNT(*) FROM gabberd_spam_report WHERE {host} AND reporter = ? AND created_at > ?`, user.String(), t)
	return int(n), err
}

// add keeps a report, and forgets the oldest where there are too many.
func (s reports) add(ctx context.Context, r report) error {
	return s.Tx(ctx, func(tx *storage.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO gabberd_spam_report ({server_host,} reporter, jid, reason, words, created_at) VALUES ({?host,} ?, ?, ?, ?, ?)`,
			r.Reporter, r.JID, r.Reason, r.Text, time.Now())
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM gabberd_spam_report WHERE {host} AND id <=
			(SELECT id FROM gabberd_spam_report WHERE {host} ORDER BY id DESC LIMIT 1 OFFSET ?)`, int64(maxReports))
		return err
	})
}

// all is every report, the newest first.
func (s reports) all(ctx context.Context) (out []report, err error) {
	err = s.Each(ctx, `SELECT created_at, reporter, jid, reason, words FROM gabberd_spam_report WHERE {host} ORDER BY id DESC`, nil, func(row storage.Row) error {
		var r report
		if err := row.Scan(&r.At, &r.Reporter, &r.JID, &r.Reason, &r.Text); err != nil {
			return err
		}
		out = append(out, r)
		return nil
	})
	return out, err
}

// forget deletes the reports about an address; empty: all.
func (s reports) forget(ctx context.Context, about string) (int64, error) {
	if about == "" {
		return s.Exec(ctx, `DELETE FROM gabberd_spam_report WHERE {host}`)
	}
	return s.Exec(ctx, `DELETE FROM gabberd_spam_report WHERE {host} AND jid = ?`, about)
}

// removed forgets what a user who is no more has reported.
func (m *blocking) removed(ctx context.Context, user xmpp.JID) {
	if _, err := m.reports.Exec(ctx, `DELETE FROM gabberd_spam_report WHERE {host} AND reporter = ?`, user.String()); err != nil {
		m.host.Log.Error("reports of a removed user are still there", "user", user.String(), "error", err)
	}
}

type shown struct {
	Time     string `json:"time"`
	Reporter string `json:"reporter"`
	JID      string `json:"jid"`
	Reason   string `json:"reason"`
	Text     string `json:"text"`
}

func (m *blocking) listReports(ctx context.Context, _ admin.OnHost) ([]shown, error) {
	all, err := m.reports.all(ctx)
	out := make([]shown, 0, len(all))
	for _, r := range all {
		out = append(out, shown{r.At.UTC().Format(time.RFC3339), r.Reporter, r.JID, r.Reason, r.Text})
	}
	return out, err
}

type about struct{ Host, JID string }

// Fields declares the arguments.
func (a *about) Fields(f *config.Fields) {
	f.String(&a.Host, "host", "", "The virtual host.")
	f.String(&a.JID, "jid", "", "The address that was reported.")
}

func (m *blocking) deleteReports(ctx context.Context, in about) (int64, error) {
	if in.JID != "" {
		j, err := xmpp.Parse(in.JID)
		if err != nil {
			return 0, admin.Usage.With("delete_spam_reports: %q is no address", in.JID)
		}
		in.JID = j.String()
	}
	return m.reports.forget(ctx, in.JID)
}
