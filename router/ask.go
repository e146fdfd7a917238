package router

import (
	"context"
	"crypto/rand"
	"errors"
	"hash/fnv"
	"strconv"
	"strings"
	"sync"

	"github.com/gabberd/gabberd/xmpp"
)

// maxPending bounds the questions that wait for an answer at the same time.
const maxPending = 50_000

// idPrefix marks the ids of our own questions. In a cluster a mark of the node follows.
const idPrefix = "gd-"

// Mark stands for a node in the ids of its questions: clients answer where they are
// connected, and who gets the answer knows whose it is. It does not tell the name.
func Mark(node string) string {
	h := fnv.New64a()
	h.Write([]byte(node))
	return strconv.FormatUint(h.Sum64(), 36)
}

// Asker is the mark of the node that has asked what st answers; ok is false if st
// answers nothing, or a server that has no other nodes.
func Asker(st *xmpp.Stanza) (mark string, ok bool) {
	if !answers(st) {
		return "", false
	}
	mark, _, ok = strings.Cut(st.ID[len(idPrefix):], "-")
	return mark, ok
}

// Named has the ids of questions carry the mark of this node. It is called before the
// first one.
func (r *Router) Named(node string) { r.pending.front = Mark(node) + "-" }

// ErrBusy says that too many questions are waiting already.
var ErrBusy = errors.New("too many requests are waiting for an answer")

// pending is the questions of this server that wait for an answer.
type pending struct {
	front   string // of ids, behind idPrefix
	mu      sync.Mutex
	waiting map[string]*question
}

type question struct {
	to     xmpp.JID
	answer chan *xmpp.Stanza
}

// Ask sends the IQ and waits for its answer, until ctx ends. The id of iq is
// replaced. A stanza of type error comes back as an *xmpp.Error. It must not be
// called on the goroutine that reads the answer: a handler of the stream that is
// asked.
func (r *Router) Ask(ctx context.Context, iq *xmpp.Stanza) (*xmpp.Stanza, error) {
	iq = iq.WithID(idPrefix + r.pending.front + rand.Text())
	q := &question{iq.To, make(chan *xmpp.Stanza, 1)}
	if !r.pending.add(iq.ID, q) {
		return nil, ErrBusy
	}
	defer r.pending.remove(iq.ID)
	r.Route(ctx, iq)
	select {
	case st := <-q.answer:
		if st.Type == "error" {
			if e := xmpp.ParseError(st); e != nil {
				return nil, e
			}
			return nil, xmpp.UndefinedCondition
		}
		return st, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// answers reports whether st looks like the answer to a question of a server like this.
func answers(st *xmpp.Stanza) bool {
	return st.IsAnswer() && strings.HasPrefix(st.ID, idPrefix)
}

// Answered hands st to whoever has asked here, and reports whether somebody has.
func (r *Router) Answered(st *xmpp.Stanza) bool { return r.pending.answered(st) }

func (p *pending) add(id string, q *question) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) >= maxPending {
		return false
	}
	p.waiting[id] = q
	return true
}

func (p *pending) remove(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiting, id)
}

// answered hands st to whoever asked. The answer must come from who was asked,
// or somebody could answer for others.
func (p *pending) answered(st *xmpp.Stanza) bool {
	if !answers(st) {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	q, ok := p.waiting[st.ID]
	if !ok || q.to != st.From && q.to != st.From.Bare() {
		return false
	}
	delete(p.waiting, st.ID)
	q.answer <- st
	return true
}
