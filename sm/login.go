package sm

import (
	"context"
	"strings"

	"github.com/gabberd/gabberd/xmpp"
)

// A Login is a login by SASL2 (XEP-0388), as those see it who do something when it
// has succeeded. Like its Stream it belongs to the goroutine that reads; it lives
// until the client is told of its success.
type Login struct {
	Stream    *Stream
	Request   *xmpp.Element // the client's <authenticate/>, with what it wants besides
	Agent     string        // the id of its user agent, empty if it has told none
	Mechanism string
	Anonymous bool

	// TokenMechanisms are those by which the stream can be logged in on with a token
	// (XEP-0484), TokenDue says that this was done with one that is to be replaced.
	TokenMechanisms []string
	TokenDue        bool
}

// String says whose login it is, for traces: in the request there are secrets.
func (l *Login) String() string { return l.Stream.String() + " by " + l.Mechanism }

// A Task is what a client has to do after its proof and before it is let in
// (XEP-0388 §2.6.3).
type Task struct {
	Name  string
	Begin TaskFunc // is given <next/>
}

// A TaskFunc takes what the client says of a task. It returns what to answer and who
// takes the client's next word; if that is nil the task is done and there is no
// answer. An *auth.Failure is told to the client, whose login has failed then; so it
// has after any other error, which is logged. It may wait for the database.
type TaskFunc func(ctx context.Context, el *xmpp.Element) (answer *xmpp.Element, then TaskFunc, err error)

// Inline is what a client may ask for together with its login by SASL2.
type Inline struct {
	Login []*xmpp.Element // besides Bind 2, in <inline/>
	Bind  []string        // what Bind 2 can switch on: names of features
	Other []*xmpp.Element // what stands beside the mechanisms
}

// A Binding is a session that is about to be opened by Bind 2 (XEP-0386). Nobody
// can send to it yet: what is switched on now is on from its first stanza.
type Binding struct {
	Login   *Login
	Session *Session
	Request *xmpp.Element // the client's <bind/>, with what it wants switched on
}

// String is the session's address, for traces.
func (b Binding) String() string { return b.Session.String() }

// Answers are elements that go to a client together with the success of its login.
type Answers []*xmpp.Element

// String says what kinds of elements they are and no more, for traces: there may be
// a secret in them.
func (a Answers) String() string {
	var names []string
	for _, el := range a {
		names = append(names, "{"+el.NS+"}"+el.Name)
	}
	return "[" + strings.Join(names, " ") + "]"
}
