package sm

import (
	"context"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// The hooks of a stream before there is a session, in the order in which they
// run.
var (
	StreamStarted  = hooks.NewFold[*stream.Error, *Stream]("c2s_stream_started", "A client has opened a stream. An error ends it.")
	PreAuth        = hooks.NewFold[[]*xmpp.Element, *Stream]("c2s_pre_auth_features", "What a client is offered before it has logged in, besides encryption and mechanisms.")
	Unauthed       = hooks.NewFold[bool, Unauthenticated]("c2s_unauthenticated_packet", "A client that has not logged in has sent a stanza. True: it was dealt with.")
	PostAuth       = hooks.NewFold[[]*xmpp.Element, *Stream]("c2s_post_auth_features", "What a client is offered when it has logged in, besides bind.")
	Forbidden      = hooks.NewEvent[xmpp.JID]("forbidden_session_hook", "A client was refused a session by the access rule of its listener.").ByHand("JID", handJID)
	SessionOpened  = hooks.NewEvent[*Session]("c2s_session_opened", "A client has bound a resource and is about to be told so.").ByHand("JID", handSession)
	StreamFinished = hooks.NewEvent[*Stream]("c2s_closed", "A client's stream is over.")
)

// The hooks of a login by SASL2 (XEP-0388), in the order in which they run.
var (
	InlineFeatures = hooks.NewFold[Inline, *Stream]("c2s_inline_features", "What may a client ask for together with its login?")
	Tasks          = hooks.NewFold[[]Task, *Login]("c2s_sasl2_tasks", "A client has proved who it is. What has it to do before it is let in?")
	InlineLogin    = hooks.NewFold[Answers, *Login]("c2s_handle_sasl2_inline", "A client is logged in, and about to be told so. Handlers do what it has asked for besides, and add their answers.")
	InlineBind     = hooks.NewFold[Answers, Binding]("c2s_handle_bind2_inline", "A client is about to have a session by Bind 2. Handlers switch on what it has asked for, and add their answers.")
)

// InArchive is asked before a message is thrown away because the archive has it. It
// may wait for the database.
var InArchive = hooks.NewFold[bool, *xmpp.Stanza]("message_in_archive", "Is a message that waits for its recipient in his archive?").ByHand("STANZA", handInArchive)

// The hooks of a session's life, in the order in which they run.
var (
	Opened      = hooks.NewEvent[*Session]("sm_register_connection_hook", "A client has bound a resource.").ByHand("JID", handSession)
	UserSend    = hooks.NewFold[*xmpp.Stanza, *Session]("user_send_packet", "A client has sent a stanza. Nil drops it.").ByHand("JID STANZA", handSent)
	SelfPresent = hooks.NewFold[*xmpp.Stanza, *Session]("c2s_self_presence", "A client has sent presence to everybody: it may be changed before it goes out.").ByHand("JID STANZA", handSent)
	Present     = hooks.NewEvent[*Session]("set_presence_hook", "A client has become available, or changed its presence.").ByHand("JID", handSession)
	Unpresent   = hooks.NewEvent[Leaving]("unset_presence_hook", "A client has become unavailable.").ByHand("JID STATUS…", handLeaving)
	Kicked      = hooks.NewEvent[xmpp.JID]("sm_kick_user", "An operator has ended the sessions of a user.").ByHand("JID", handJID)
	Closed      = hooks.NewEvent[*Session]("sm_remove_connection_hook", "A session has ended.").ByHand("JID", handSession)
)

// The hooks of a session whose connection breaks and comes back (XEP-0198 §5). In
// between the session is there as always, but nobody reads what it is sent.
var (
	SessionPending = hooks.NewEvent[*Session]("c2s_session_pending", "The connection of a session has broken, and its client may resume it, but is not about to.").ByHand("JID", handSession)
	Queued         = hooks.NewEvent[Queueing]("c2s_handle_send", "A stanza was queued for a session that waits for its client.")
	SessionResumed = hooks.NewEvent[*Session]("c2s_session_resumed", "A client has resumed its session over a new connection.").ByHand("JID", handSession)
)

// The hooks of a session that goes on on another node: the first runs on the node that
// it leaves, before anybody knows, the second on the one where it arrives, before
// anybody can send to it there. Both run on behalf of a client that is away.
var (
	SessionPacked   = hooks.NewFold[Luggage, *Session]("c2s_pack_session", "A session is about to go on on another node. Handlers add what it needs there.")
	SessionUnpacked = hooks.NewEvent[Unpacking]("c2s_copy_session", "A session has come from another node, with what handlers have packed there.")
)

// A Queueing is a stanza that was queued for a session that waits for its client.
type Queueing struct {
	Session *Session
	Stanza  *xmpp.Stanza
}

// String is the session's address and the stanza, for traces.
func (q Queueing) String() string { return q.Session.JID.String() + " " + q.Stanza.String() }

// The hooks of a stanza on its way to a user, in the order in which they run.
var (
	Receive       = hooks.NewFold[*xmpp.Stanza, *Sessions]("sm_receive_packet", "A stanza has arrived for a user of this host. Nil drops it.").ByHand("STANZA", handReceived)
	Privacy       = hooks.NewFold[bool, PrivacyCheck]("privacy_check_packet", "May this stanza go from or to this user?").ByHand("USER in|out STANZA", handPrivacy)
	InSubscribe   = hooks.NewFold[bool, *xmpp.Stanza]("roster_in_subscription", "A subscription stanza has arrived. True: the user's clients shall see it.").ByHand("STANZA", handSubscription)
	OutSubscribe  = hooks.NewFold[*xmpp.Stanza, *Session]("roster_out_subscription", "A user sends a subscription stanza. Nil: it is not to be sent.").ByHand("JID STANZA", handSent)
	PresenceIn    = hooks.NewFold[*xmpp.Stanza, *Session]("c2s_presence_in", "A client is about to get presence. Nil drops it.").ByHand("JID STANZA", handSent)
	Copies        = hooks.NewEvent[Copying]("sm_copy_message", "A message was handed to some of a user's clients, and others of them want copies of such messages.").ByHand("STANZA", handCopying)
	UserReceive   = hooks.NewFold[*xmpp.Stanza, *Session]("user_receive_packet", "A client is about to get a stanza. Nil drops it.").ByHand("JID STANZA", handSent)
	FilterSend    = hooks.NewFold[*xmpp.Stanza, *Session]("c2s_filter_send", "A stanza is about to be written to a client. Nil drops it.").ByHand("JID STANZA", handSent)
	Offline       = hooks.NewFold[Fate, *xmpp.Stanza]("offline_message_hook", "A message has found nobody at home.").ByHand("STANZA", handFate)
	IsArchived    = hooks.NewFold[bool, *xmpp.Stanza]("message_is_archived", "A client may not have got a message. Will its user find it in the archive?")
	BounceUser    = hooks.NewFold[Fate, *xmpp.Stanza]("bounce_sm_packet", "A stanza has found no session to go to.").ByHand("STANZA", handFate)
	Probed        = hooks.NewEvent[*xmpp.Stanza]("presence_probe_hook", "Somebody who may asks whether a user is there.").ByHand("STANZA", handStanza)
	Subscriptions = hooks.NewFold[Contacts, xmpp.JID]("roster_get_subscription_lists", "Who gets a user's presence, and whose he gets.").ByHand("JID", handContacts)
	JIDInfo       = hooks.NewFold[Contact, Pair]("roster_get_jid_info", "How a user stands to a contact.").ByHand("USER OTHER", handPair)
)

// Storing asks what is to be done about a message that is about to be written to
// the database. A handler cannot touch the transaction: it adds jobs, which are
// written together with the message, so that both are there or neither is
// (storage.DB.QueueWith). It runs on the goroutine of the message's sender.
var Storing = hooks.NewFold[[]storage.Job, Storage]("msg_forward", "A message is about to be written to the database. Handlers add jobs, which are written with it.").ByHand("USER in|out TABLE STANZA", handStoring)

// Stores and StoreOpened are about the databases in which a virtual host keeps
// messages: jobs are written there, too, so that whoever works on them must know.
// Modules that run Storing say where by KeepMessages.
var (
	Stores      = hooks.NewFold[[]*storage.DB, xmpp.JID]("message_stores", "In which databases does this host keep messages?").ByHand("HOST", handStores)
	StoreOpened = hooks.NewEvent[*storage.DB]("message_store_opened", "A module has started that keeps messages in this database.")
)

// KeepMessages says that a module keeps messages of its virtual host in db, until it
// stops. To be called before the first of them is stored; it may wait for the
// database.
func KeepMessages(ctx context.Context, o hooks.Owner, db *storage.DB) {
	Stores.Add(o, hooks.Normal, func(_ context.Context, l []*storage.DB, _ xmpp.JID) ([]*storage.DB, hooks.Flow) {
		return append(l, db), hooks.Next
	})
	StoreOpened.Run(ctx, o.Hooks(), db)
}

// A Storage is a message on its way to the database.
type Storage struct {
	Table     string       // archive or spool
	User      xmpp.JID     // whose row it is: bare
	Peer      xmpp.JID     // with whom he talks: full, as far as it is known
	Direction Direction    // In: the user is sent the message; Out: he sends it
	Stanza    *xmpp.Stanza // its Stamp is never zero
}

// Fate is what becomes of a stanza that cannot be delivered now.
type Fate uint8

// The fates of a stanza.
const (
	Bounce   Fate = iota // its sender is told
	Pass                 // it is dropped without a word
	Archived             // it is in the archive
	Stored               // it waits for the user's next login
)

// String is ejabberd's word for it.
func (f Fate) String() string { return [...]string{"bounce", "pass", "archived", "offlined"}[f] }

// Direction is which way a stanza goes, as seen by a user.
type Direction uint8

// The directions.
const (
	In Direction = iota
	Out
)

// A PrivacyCheck is a stanza that goes from or to a user.
type PrivacyCheck struct {
	User      xmpp.JID // whose rules are asked: bare or full
	Stanza    *xmpp.Stanza
	Direction Direction
	Session   *Session // nil where no session of the user is concerned
}

// Leaving is a session that has become unavailable and the reason it gave.
type Leaving struct {
	Session *Session
	Status  string
}

// An Unauthenticated is a stanza of a client that has not logged in. Its answer
// goes through Stream.Reply.
type Unauthenticated struct {
	Stream *Stream
	Stanza *xmpp.Stanza
}

// Contacts is the people around a user, bare addresses.
type Contacts struct {
	To   []xmpp.JID // whose presence the user gets
	From []xmpp.JID // who gets the user's presence
}

// A Pair is a user and somebody else.
type Pair struct{ User, Other xmpp.JID }

// A Contact is how a user stands to somebody (RFC 6121 §2.1).
type Contact struct {
	Subscription string // none, to, from, both; empty: none
	Ask          string // subscribe while a request waits for its answer
	Groups       []string
}

// SeesUser reports whether the contact gets the user's presence.
func (c Contact) SeesUser() bool { return c.Subscription == "from" || c.Subscription == "both" }

// SeenByUser reports whether the user gets the contact's presence.
func (c Contact) SeenByUser() bool { return c.Subscription == "to" || c.Subscription == "both" }

// Nonzas sees what a client sends that is no stanza: XEP-0198, XEP-0352.
var Nonzas = hooks.NewFold[bool, Nonza]("c2s_authenticated_packet", "A client has sent an element that is no stanza. True: it was dealt with.").ByHand("JID ELEMENT", handNonza)

// A Nonza is an element of a stream that is no stanza.
type Nonza struct {
	Session *Session
	Element *xmpp.Element
}

// EarlyNonzas sees what a client without a session sends that is neither a stanza
// nor about encryption or login: XEP-0198.
var EarlyNonzas = hooks.NewFold[*xmpp.Element, EarlyNonza]("c2s_unbinded_packet", "A client that has no session has sent an element that is no stanza. What comes out is the answer; nil: nobody knows it.")

// An EarlyNonza is an element of the stream of a client that has no session.
type EarlyNonza struct {
	Stream  *Stream // its User is zero before the login
	Element *xmpp.Element
}
