package antispam

import (
	"container/list"
	"strings"
	"sync"
	"time"
)

// senders is who has sent spam, bare addresses, and when he was last caught.
type senders struct {
	size int

	mu    sync.Mutex
	by    map[string]*list.Element
	order list.List // of *sender, the last caught in front
}

type sender struct {
	jid string
	at  time.Time
}

func newSenders(size int) *senders { return &senders{size: size, by: map[string]*list.Element{}} }

// has reports whether jid is known, who is caught once more then.
func (s *senders) has(jid string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	el, ok := s.by[jid]
	if ok {
		el.Value.(*sender).at = time.Now()
		s.order.MoveToFront(el)
	}
	return ok
}

func (s *senders) add(jid string) {
	if s.has(jid) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by[jid] != nil {
		return
	}
	jid = strings.Clone(jid) // it may be a part of a stanza
	s.by[jid] = s.order.PushFront(&sender{jid, time.Now()})
	for s.order.Len() > s.size {
		s.remove(s.order.Back())
	}
}

func (s *senders) drop(jid string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	el, ok := s.by[jid]
	if ok {
		s.remove(el)
	}
	return ok
}

// expire forgets those who were not caught for so long, and says how many.
func (s *senders) expire(age time.Duration) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for el := s.order.Back(); el != nil && time.Since(el.Value.(*sender).at) >= age; el = s.order.Back() {
		s.remove(el)
		n++
	}
	return n
}

func (s *senders) all() (out []sender) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for el := s.order.Front(); el != nil; el = el.Next() {
		out = append(out, *el.Value.(*sender))
	}
	return out
}

func (s *senders) remove(el *list.Element) { delete(s.by, s.order.Remove(el).(*sender).jid) }
