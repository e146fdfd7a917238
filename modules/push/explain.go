package push

import (
	"container/list"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gabberd/gabberd/xmpp"
)

// Bounds on what is remembered of what was decided.
const (
	maxBooks   = 1000 // users
	maxPages   = 10   // messages of each
	maxSteps   = 20   // of each
	maxStep    = 300  // bytes
	maxStamped = 16   // messages of each that were told of from the archive
)

// books are what was decided about the last messages for each user.
type books struct {
	mu     sync.Mutex
	byUser map[xmpp.JID]*list.Element
	order  list.List // of *book, the last used in front
}

// A book is that of one user.
type book struct {
	user   xmpp.JID
	pages  []*page
	unseen int     // messages since a client of the user came last
	stamps []int64 // of messages that were told of from the archive
}

// A page is what was decided about one message. A nil page takes nothing.
type page struct {
	at   time.Time
	what string

	mu    sync.Mutex
	steps []string
}

func newBooks() *books { return &books{byUser: map[xmpp.JID]*list.Element{}} }

// open is the book of a user, with b.mu held. A new one may close that which nobody
// has used for longest.
func (b *books) open(user xmpp.JID) *book {
	if el, ok := b.byUser[user]; ok {
		b.order.MoveToFront(el)
		return el.Value.(*book)
	}
	k := &book{user: user.Clone()}
	b.byUser[k.user] = b.order.PushFront(k)
	if b.order.Len() > maxBooks {
		old := b.order.Remove(b.order.Back()).(*book)
		delete(b.byUser, old.user)
	}
	return k
}

// page begins a page about st.
func (b *books) page(user xmpp.JID, st *xmpp.Stanza) *page {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open(user).page(st)
}

// aside begins a page about something that concerns very many users. It closes no
// book: nil, if there are as many as there can be and the user has none.
func (b *books) aside(user xmpp.JID) *page {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, has := b.byUser[user]
	if !has && b.order.Len() >= maxBooks {
		return nil
	}
	p := b.open(user).page(nil)
	if !has {
		b.order.MoveToBack(b.byUser[user]) // the first to be closed
	}
	return p
}

// page begins a page about st, with the mu of the books held.
func (k *book) page(st *xmpp.Stanza) *page {
	p := &page{at: time.Now(), what: subject(st)}
	if k.pages = append(k.pages, p); len(k.pages) > maxPages {
		k.pages = k.pages[1:]
	}
	return p
}

// subject is the first line of a page.
func subject(st *xmpp.Stanza) string {
	if st == nil {
		return "no single stanza"
	}
	what := st.Kind.String()
	if st.Type != "" {
		what += " of type " + st.Type
	}
	if st.ID != "" {
		what += " with id " + st.ID
	}
	return cut(what + " from " + st.From.String())
}

// step writes what was found, or done.
func (p *page) step(text string, args ...any) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.steps) < maxSteps {
		p.steps = append(p.steps, cut(fmt.Sprintf(text, args...)))
	}
}

// cut shortens what others have written, and keeps it on its line.
func cut(s string) string {
	if len(s) > maxStep {
		n := maxStep
		for !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// tell remembers that a message is told of from the archive.
func (b *books) tell(user xmpp.JID, stamp int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.open(user)
	if k.stamps = append(k.stamps, stamp); len(k.stamps) > maxStamped {
		k.stamps = k.stamps[1:]
	}
}

// told reports whether a message was told of from the archive.
func (b *books) told(user xmpp.JID, stamp int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.open(user).stamps {
		if s == stamp {
			return true
		}
	}
	return false
}

// count counts one more message that the user has not seen.
func (b *books) count(user xmpp.JID) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.open(user)
	k.unseen++
	return k.unseen
}

// seen says that a client of the user is there. It is called at every login: who has
// no book gets none.
func (b *books) seen(user xmpp.JID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if el, ok := b.byUser[user]; ok {
		el.Value.(*book).unseen = 0
	}
}

func (b *books) forget(user xmpp.JID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if el, ok := b.byUser[user]; ok {
		b.order.Remove(el)
		delete(b.byUser, user)
	}
}

// lines is what an operator reads, the latest message last.
func (b *books) lines(user xmpp.JID) []string {
	b.mu.Lock()
	var pages []*page
	if el, ok := b.byUser[user]; ok {
		pages = append(pages, el.Value.(*book).pages...)
	}
	b.mu.Unlock()
	var out []string
	for _, p := range pages {
		out = append(out, p.at.UTC().Format("2006-01-02T15:04:05Z")+" "+p.what)
		p.mu.Lock()
		for _, s := range p.steps {
			out = append(out, "  "+s)
		}
		p.mu.Unlock()
	}
	return out
}
