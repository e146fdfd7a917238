package mam

import (
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// StoreMessage sees every message that is about to be archived, as it will be
// stored. It runs on the goroutine of the message's sender.
var StoreMessage = hooks.NewFold[*xmpp.Stanza, Storing]("store_mam_message", "A message is about to be archived. Nil: it is not.")

// Scan reads what all users of a host have archived. It waits for the database.
// Without an archive nobody answers.
var Scan = hooks.NewFold[Scanned, Scanning]("mam_scan_archive", "Somebody wants to read what all users have archived in a time.")

// A Storing is a message on its way to somebody's archive.
type Storing struct {
	User      xmpp.JID     // whose archive: bare
	Peer      xmpp.JID     // with whom he talks, as far as it is known
	Direction sm.Direction // In: the user is sent the message; Out: he sends it
}
