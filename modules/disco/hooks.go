package disco

import (
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/xmpp"
)

// A Query is one question of service discovery (XEP-0030).
type Query struct {
	From, To xmpp.JID
	Node     string // empty: the entity itself
	Lang     string
	Module   string // ejabberd's name of the module that answers: mod_disco, mod_muc, …
}

// An Identity is what somebody is: category server, type im.
type Identity struct{ Category, Type, Lang, Name string }

// An Item is something that belongs to somebody.
type Item struct {
	JID        xmpp.JID
	Node, Name string
}

// An Answer is what the handlers of a hook have found. The zero Answer says
// that nobody knows the node.
type Answer[T any] struct {
	Found bool
	List  []T
	Err   *xmpp.Error // the asker gets this and nothing else
}

// Features and Items are the two questions with such answers.
type (
	Features = Answer[string]
	Items    = Answer[Item]
)

// With is a with more in it; without arguments it says that the node is known.
// A refusal stays one.
func (a Answer[T]) With(more ...T) Answer[T] {
	if a.Err != nil {
		return a
	}
	return Answer[T]{Found: true, List: append(a.List[:len(a.List):len(a.List)], more...)}
}

// Refuse is the answer that the asker gets an error.
func Refuse[T any](e *xmpp.Error) Answer[T] { return Answer[T]{Err: e} }

// result is what the asker is told. A node of which nobody knows is
// item-not-found.
func (a Answer[T]) result() ([]T, error) {
	switch {
	case a.Err != nil:
		return nil, a.Err
	case !a.Found:
		return nil, xmpp.ItemNotFound.WithText("No such node")
	}
	return a.List, nil
}

// The hooks of service discovery, asked of the server.
var (
	LocalIdentity = hooks.NewFold[[]Identity, Query]("disco_local_identity", "What the server, or one of its nodes, is.")
	LocalFeatures = hooks.NewFold[Features, Query]("disco_local_features", "What the server, or one of its nodes, can do.")
	LocalItems    = hooks.NewFold[Items, Query]("disco_local_items", "What belongs to the server, or to one of its nodes.")
)

// The hooks of service discovery, asked of the bare address of a user. The
// asker is the user, or somebody who gets the user's presence.
var (
	SMIdentity = hooks.NewFold[[]Identity, Query]("disco_sm_identity", "What a user's account, or one of its nodes, is.")
	SMFeatures = hooks.NewFold[Features, Query]("disco_sm_features", "What a user's account, or one of its nodes, can do.")
	SMItems    = hooks.NewFold[Items, Query]("disco_sm_items", "What belongs to a user's account, or to one of its nodes.")
)

// Forms is asked by everybody who answers such a question, whatever he is:
// the server, an account, a service.
var Forms = hooks.NewFold[[]*xmpp.Element, Query]("disco_info", "Which forms say more about an entity (XEP-0128).")
