package mam

import (
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
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

// Recall reads messages that a user was sent from his archive, by their places in
// it. It waits for the database. Without an archive nobody answers.
var Recall = hooks.NewFold[Scanned, Recalling]("mam_recall", "Somebody wants messages from a user's archive that he was sent.")

// A Recalling is which messages of an archive are wanted, those that the user was
// sent and that are readable and were not taken back.
type Recalling struct {
	User  xmpp.JID
	IDs   []int64 // these; nil: all behind After
	After int64
	// Take is given some at a time, the oldest first: with their Stamp, the place in
	// the archive, and with their ID there. An error ends it.
	Take func([]*xmpp.Stanza) error
}

// String says whose they are, for traces.
func (r Recalling) String() string { return r.User.String() }

// Writing asks how far a message is that was just archived for whom it is for. It
// does not wait.
var Writing = hooks.NewFold[Write, *xmpp.Stanza]("mam_writing", "How far is the write that puts a message into its recipient's archive?")

// A Write is how far a message is on its way to an archive: zero if it is there.
type Write struct {
	Ticket *storage.Ticket // not nil: it is on its way
	Failed bool            // it will not get there
}
