package sm

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

type sessionsKey struct{}

// ByHand returns a context for hooks that an operator runs by hand on the
// virtual host of ss: what words name is looked up there.
func (ss *Sessions) ByHand(ctx context.Context) context.Context {
	return context.WithValue(ctx, sessionsKey{}, ss)
}

// handSessions is the sessions of the virtual host on which a hook is run by
// hand.
func handSessions(ctx context.Context) (*Sessions, error) {
	ss, ok := ctx.Value(sessionsKey{}).(*Sessions)
	if !ok {
		return nil, errors.New("this hook runs on a virtual host; name it before the hook")
	}
	return ss, nil
}

// handWords checks that there are n words.
func handWords(words []string, n int) error {
	if len(words) != n {
		return fmt.Errorf("%d words are needed, not %d", n, len(words))
	}
	return nil
}

// handSession reads the words JID.
func handSession(ctx context.Context, words []string) (*Session, error) {
	if err := handWords(words, 1); err != nil {
		return nil, err
	}
	ss, err := handSessions(ctx)
	if err != nil {
		return nil, err
	}
	j, err := xmpp.Parse(words[0])
	if err != nil {
		return nil, err
	}
	s := ss.Find(j)
	if s == nil {
		return nil, fmt.Errorf("there is no session %s", j)
	}
	return s, nil
}

// handSent reads the words JID STANZA. The stanza is from that session if it
// does not say whom it is from.
func handSent(ctx context.Context, words []string) (*xmpp.Stanza, *Session, error) {
	if err := handWords(words, 2); err != nil {
		return nil, nil, err
	}
	s, err := handSession(ctx, words[:1])
	if err != nil {
		return nil, nil, err
	}
	st, err := xmpp.ParseXML([]byte(words[1]))
	if err != nil {
		return nil, nil, err
	}
	if st.From.IsZero() {
		st = st.Readdressed(s.JID, st.To)
	}
	return st, s, nil
}

// handStanza reads the words STANZA.
func handStanza(_ context.Context, words []string) (*xmpp.Stanza, error) {
	if err := handWords(words, 1); err != nil {
		return nil, err
	}
	return xmpp.ParseXML([]byte(words[0]))
}

// handReceived reads the words STANZA for a hook of all sessions.
func handReceived(ctx context.Context, words []string) (*xmpp.Stanza, *Sessions, error) {
	ss, err := handSessions(ctx)
	if err != nil {
		return nil, nil, err
	}
	st, err := handStanza(ctx, words)
	return st, ss, err
}

// handCopying reads the words STANZA, of which all clients of whom it is for that
// want copies shall have one.
func handCopying(ctx context.Context, words []string) (Copying, error) {
	st, ss, err := handReceived(ctx, words)
	if err != nil {
		return Copying{}, err
	}
	c := Copying{Stanza: st}
	for _, s := range ss.User(st.To.Bare()) {
		if s.Copied() && s.JID != st.To {
			c.For = append(c.For, s)
		}
	}
	return c, nil
}

// handFate reads the words STANZA for a stanza that has found nobody.
func handFate(ctx context.Context, words []string) (Fate, *xmpp.Stanza, error) {
	st, err := handStanza(ctx, words)
	return Bounce, st, err
}

// handSubscription reads the words STANZA.
func handSubscription(ctx context.Context, words []string) (bool, *xmpp.Stanza, error) {
	st, err := handStanza(ctx, words)
	return false, st, err
}

// handJID reads the words JID.
func handJID(_ context.Context, words []string) (xmpp.JID, error) {
	if err := handWords(words, 1); err != nil {
		return xmpp.JID{}, err
	}
	return xmpp.Parse(words[0])
}

// handInArchive reads the words STANZA of a message of which nothing is known.
func handInArchive(ctx context.Context, words []string) (bool, *xmpp.Stanza, error) {
	st, err := handStanza(ctx, words)
	return false, st, err
}

// handContacts reads the words JID.
func handContacts(ctx context.Context, words []string) (Contacts, xmpp.JID, error) {
	j, err := handJID(ctx, words)
	return Contacts{}, j.Bare(), err
}

// handPair reads the words USER OTHER.
func handPair(_ context.Context, words []string) (c Contact, p Pair, err error) {
	if err = handWords(words, 2); err != nil {
		return c, p, err
	}
	if p.User, err = xmpp.Parse(words[0]); err != nil {
		return c, p, err
	}
	p.Other, err = xmpp.Parse(words[1])
	return c, p, err
}

// handPrivacy reads the words USER in|out STANZA.
func handPrivacy(ctx context.Context, words []string) (bool, PrivacyCheck, error) {
	var p PrivacyCheck
	if err := handWords(words, 3); err != nil {
		return false, p, err
	}
	user, err := xmpp.Parse(words[0])
	if err != nil {
		return false, p, err
	}
	st, err := handStanza(ctx, words[2:])
	if err != nil {
		return false, p, err
	}
	p = PrivacyCheck{User: user, Stanza: st}
	if p.Direction, err = handDirection(words[1]); err != nil {
		return false, p, err
	}
	if ss, err := handSessions(ctx); err == nil {
		p.Session = ss.Find(user)
	}
	return true, p, nil
}

// handStores reads the word HOST.
func handStores(ctx context.Context, words []string) ([]*storage.DB, xmpp.JID, error) {
	j, err := handJID(ctx, words)
	return nil, j, err
}

// handStoring reads the words USER in|out TABLE STANZA.
func handStoring(ctx context.Context, words []string) ([]storage.Job, Storage, error) {
	var w Storage
	if err := handWords(words, 4); err != nil {
		return nil, w, err
	}
	ss, err := handSessions(ctx)
	if err != nil {
		return nil, w, err
	}
	if w.User, err = xmpp.Parse(words[0]); err != nil {
		return nil, w, err
	}
	if w.Direction, err = handDirection(words[1]); err != nil {
		return nil, w, err
	}
	if w.Table = words[2]; w.Table != "archive" && w.Table != "spool" {
		return nil, w, fmt.Errorf("%q is neither archive nor spool", w.Table)
	}
	if w.Stanza, err = handStanza(ctx, words[3:]); err != nil {
		return nil, w, err
	}
	w.Stanza = ss.Stamped(w.Stanza)
	if w.Peer = w.Stanza.From; w.Direction == Out {
		w.Peer = w.Stanza.To
	}
	return nil, w, nil
}

// handDirection reads the word in or out.
func handDirection(word string) (Direction, error) {
	switch word {
	case "in":
		return In, nil
	case "out":
		return Out, nil
	}
	return In, fmt.Errorf("%q is neither in nor out", word)
}

// handLeaving reads the words JID STATUS….
func handLeaving(ctx context.Context, words []string) (Leaving, error) {
	if len(words) == 0 {
		return Leaving{}, errors.New("a session is needed")
	}
	s, err := handSession(ctx, words[:1])
	return Leaving{s, strings.Join(words[1:], " ")}, err
}

// handNonza reads the words JID ELEMENT.
func handNonza(ctx context.Context, words []string) (bool, Nonza, error) {
	if err := handWords(words, 2); err != nil {
		return false, Nonza{}, err
	}
	s, err := handSession(ctx, words[:1])
	if err != nil {
		return false, Nonza{}, err
	}
	el, err := xmpp.ParseElement([]byte(words[1]), xmpp.NSClient)
	return false, Nonza{s, el}, err
}

// String is the session's address, for traces.
func (s *Session) String() string {
	if s == nil {
		return "no session"
	}
	return s.JID.String()
}

// String is the virtual host, for traces.
func (ss *Sessions) String() string { return ss.Domain }

// String says who has opened the stream, for traces.
func (s *Stream) String() string {
	if s.User.IsZero() {
		return "stream from " + s.Addr.String()
	}
	return "stream of " + s.User.String()
}

// String is "out of" or "in to", for traces.
func (d Direction) String() string {
	if d == In {
		return "in"
	}
	return "out"
}

// String is the arguments as they are given by hand, for traces.
func (p PrivacyCheck) String() string { return fmt.Sprintf("%s %s %s", p.User, p.Direction, p.Stanza) }

// String is the arguments as they are given by hand, for traces.
func (w Storage) String() string {
	return fmt.Sprintf("%s %s %s %s", w.User, w.Direction, w.Table, w.Stanza)
}

// String is the arguments as they are given by hand, for traces.
func (c Copying) String() string { return c.Stanza.String() }

// String is the arguments as they are given by hand, for traces.
func (l Leaving) String() string { return strings.TrimSpace(l.Session.String() + " " + l.Status) }

// String is the arguments as they are given by hand, for traces.
func (n Nonza) String() string {
	if n.Element.Name == "resume" { // the id in it is a secret
		return fmt.Sprintf("%s {%s}resume", n.Session, n.Element.NS)
	}
	return fmt.Sprintf("%s %s", n.Session, n.Element)
}

// String says what kind of element it is and no more, for traces: there may be a
// secret in it.
func (n EarlyNonza) String() string {
	return n.Stream.String() + " {" + n.Element.NS + "}" + n.Element.Name
}

// String says what kind of stanza it is and no more, for traces: before the
// login a stanza may hold a password.
func (u Unauthenticated) String() string {
	s := u.Stream.String() + " " + u.Stanza.Kind.String()
	if el := u.Stanza.Payload(); el != nil {
		s += " {" + el.NS + "}" + el.Name
	}
	return s
}
