package antispam

import (
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/xmpp"
)

// A Mark says of an address or a domain whether it is a spammer's.
type Mark struct {
	JID    string `json:"jid,omitempty"`
	Domain string `json:"domain,omitempty"`
	Spam   bool   `json:"spam,omitempty"`
}

// The hooks of spam.
var (
	Marked   = hooks.NewEvent[Mark]("antispam_marked", "An address or a domain counts as a spammer's, or does not any more.").Everywhere(hooks.JSON[Mark]())
	Rejected = hooks.NewEvent[*xmpp.Stanza]("spam_stanza_rejected", "A stanza was refused because it is spam.")
)
