package adminextra

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/xmpp"
)

// A BanChange is an account that is banned now, or not any more.
type BanChange struct {
	User   xmpp.JID // bare
	Banned bool
	Reason string // what its clients are told; may be empty
}

// BanChanged runs when a ban is stored or lifted. Every node ends the sessions of
// its own.
var BanChanged = hooks.NewEvent[BanChange]("ban_changed", "An account is banned, or not any more, and that is stored.").
	Everywhere(hooks.Wire[BanChange]{Write: writeBan, Read: readBan})

type banText struct {
	User   string `json:"user"`
	Banned bool   `json:"banned"`
	Reason string `json:"reason,omitempty"`
}

func writeBan(b BanChange) ([]byte, error) {
	return json.Marshal(banText{b.User.String(), b.Banned, b.Reason})
}

func readBan(_ context.Context, payload []byte) (BanChange, error) {
	var t banText
	if err := json.Unmarshal(payload, &t); err != nil {
		return BanChange{}, err
	}
	user, err := xmpp.Parse(t.User)
	return BanChange{user.Bare(), t.Banned, t.Reason}, err
}

// A Submission is a stanza that is to be dealt with as if the client of a session
// had sent it.
type Submission struct {
	Session xmpp.JID     // full
	ID      string       // of the session
	Stanza  *xmpp.Stanza // from Session
	Sets    bool         // it is the session's own presence, and nobody is asked
}

// Submitted runs when an operator speaks for a client of another node: the node
// that has it deals with the stanza.
var Submitted = hooks.NewEvent[Submission]("admin_submit", "An operator speaks for a client that is connected to another node.").
	Everywhere(hooks.Wire[Submission]{Write: writeSubmission, Read: readSubmission})

type submissionText struct {
	Session string `json:"session"`
	ID      string `json:"id"`
	Stanza  string `json:"stanza"`
	Sets    bool   `json:"sets,omitempty"`
}

func writeSubmission(s Submission) ([]byte, error) {
	return json.Marshal(submissionText{s.Session.String(), s.ID, s.Stanza.XML(), s.Sets})
}

func readSubmission(_ context.Context, payload []byte) (s Submission, err error) {
	var t submissionText
	if err := json.Unmarshal(payload, &t); err != nil {
		return s, err
	}
	if s.Session, err = xmpp.Parse(t.Session); err != nil {
		return s, err
	}
	s.ID, s.Sets = t.ID, t.Sets
	if s.Stanza, err = xmpp.ParseXML([]byte(t.Stanza)); err != nil {
		return s, fmt.Errorf("stanza: %w", err)
	}
	return s, nil
}
