package announce

import (
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/xmpp"
)

// A Deed is what becomes of an announcement.
type Deed uint8

// The deeds.
const (
	ToAll      Deed = iota // every account gets it, now or later
	ToOnline               // every session gets it
	SetMOTD                // it is the message of the day, and every session gets it
	UpdateMOTD             // it is the message of the day for those who log in
	DeleteMOTD             // there is no message of the day any more
)

// An Announcement is a message to many, and who wants it sent.
type Announcement struct {
	By      xmpp.JID
	Deed    Deed
	Message *xmpp.Stanza // nil to delete
}

// Everywhere runs on each virtual host when somebody announces to all of them.
// A host whose rules let him does it and adds one.
var Everywhere = hooks.NewFold[int, Announcement]("announce_all_hosts", "An announcement for all virtual hosts. Hosts that take part count themselves.")

// MOTDChanged runs when another message of the day, or none, is stored.
var MOTDChanged = hooks.NewEvent[struct{}]("announce_motd_changed", "There is another message of the day, or none any more, and that is stored.").
	Everywhere(hooks.JSON[struct{}]())
