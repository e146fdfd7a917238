package fail2ban

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

// maxRecords bounds the addresses that are remembered: so many that are kept
// away, and so many others. The oldest are forgotten first.
const maxRecords = 50_000

// records remembers the addresses from which logins have failed. It has no
// timers: what is over goes when something else comes.
type records struct {
	mu      sync.Mutex
	byGroup map[netip.Prefix]*list.Element // of *record
	trying  list.List                      // what is forgotten first in front
	banned  list.List                      // the same
}

type record struct {
	Record
	where netip.Prefix
	list  *list.List // where it is
}

func newRecords() *records { return &records{byGroup: map[netip.Prefix]*list.Element{}} }

// fail counts a failure, which is remembered for so long.
func (r *records) fail(where netip.Prefix, life time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clean()
	el, ok := r.byGroup[where]
	if !ok {
		el = r.trying.PushBack(&record{where: where, list: &r.trying})
		r.byGroup[where] = el
		if r.trying.Len() > maxRecords {
			r.drop(r.trying.Front())
		}
	}
	rec := el.Value.(*record)
	rec.Count++
	rec.Until = time.Now().Add(life)
	rec.list.MoveToBack(el)
}

// ban keeps an address away that has failed, and reports whether it was not
// before.
func (r *records) ban(where netip.Prefix) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	el, ok := r.byGroup[where]
	if !ok || el.Value.(*record).Banned {
		return false
	}
	rec := r.trying.Remove(el).(*record)
	rec.Banned, rec.list = true, &r.banned
	r.byGroup[where] = r.banned.PushBack(rec)
	if r.banned.Len() > maxRecords {
		r.drop(r.banned.Front())
	}
	return true
}

// find is what is known of an address now.
func (r *records) find(where netip.Prefix) Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clean()
	if el, ok := r.byGroup[where]; ok {
		return el.Value.(*record).Record
	}
	return Record{}
}

func (r *records) forget(where netip.Prefix) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if el, ok := r.byGroup[where]; ok {
		r.drop(el)
	}
}

// unban forgets every address in p, and every group of addresses that has some
// in p, and returns how many there were.
func (r *records) unban(p netip.Prefix) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clean()
	n := 0
	for where, el := range r.byGroup {
		if where.Overlaps(p) {
			r.drop(el)
			n++
		}
	}
	return n
}

// clean forgets what is over.
func (r *records) clean() {
	now := time.Now()
	for _, l := range []*list.List{&r.trying, &r.banned} {
		for el := l.Front(); el != nil && !el.Value.(*record).Until.After(now); el = l.Front() {
			r.drop(el)
		}
	}
}

func (r *records) drop(el *list.Element) {
	rec := el.Value.(*record)
	rec.list.Remove(el)
	delete(r.byGroup, rec.where)
}
