package offline

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/modules/mam"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// With use_mam_for_storage a message that is in its recipient's archive is not stored
// a second time: what waits is a reference, a small row that says where in the
// archive it is. So exactly those messages come that have found nobody, once, on
// whichever node, and clients can choose among them.
//
// ejabberd stores the first such message alone and takes everything in the archive
// behind it for waiting. A reference looks to it like its activity marker: it, too,
// finds everything. What it has left behind is turned into references (takeOver).
// The reasons are in docs/decisions/offline-from-archive.md.

const (
	nsStanzaID = "urn:xmpp:sid:0"
	markerID   = "ActivityMarker"
	stampForm  = "2006-01-02T15:04:05.000000Z"

	// lost is after how long a message that is not in the archive will not be there
	// any more: its write may still be on its way.
	lost = 10 * time.Minute
	// maxTaken bounds what is taken over for a user from ejabberd, where nothing else
	// does: the newest so many.
	maxTaken = 50_000
	// near is how far from its arrival a message may be in the archive to count as
	// one that ejabberd has left as a mark.
	near = time.Hour
)

var (
	// errAbsent is why a reference alone is not enough.
	errAbsent = errors.New("the message did not get into the archive")

	errNoArchive = errors.New("they are in the archive, and mod_mam is not enabled")
)

// place is where in the archive of user a message is; 0: in no place.
func place(st *xmpp.Stanza, user xmpp.JID) int64 {
	if !st.Has(nsStanzaID, "stanza-id") {
		return 0
	}
	for el := range st.Children() {
		if !ofUser(el, user) {
			continue
		}
		if n, err := strconv.ParseInt(el.Attr("id"), 10, 64); err == nil && n > 0 {
			return n
		}
	}
	return 0
}

// ofUser reports whether el is an ID that user's server has given.
func ofUser(el *xmpp.Element, user xmpp.JID) bool {
	if !el.Is(nsStanzaID, "stanza-id") {
		return false
	}
	by, err := xmpp.Parse(el.Attr("by"))
	return err == nil && by == user
}

// placeless is the message without its place.
func placeless(st *xmpp.Stanza, user xmpp.JID) *xmpp.Stanza {
	return st.Filter(func(el *xmpp.Element) bool { return !ofUser(el, user) })
}

// reference is what is stored of a message that is in the archive of user.
func reference(st *xmpp.Stanza, user, host xmpp.JID, at int64) *xmpp.Stanza {
	return xmpp.New(xmpp.Message, "error", st.From, st.To, markerID,
		xmpp.Build(nsDelay, "delay").Attr("from", host.String()).Attr("stamp", time.UnixMicro(at).UTC().Format(stampForm)).Done(),
		xmpp.Build(nsStanzaID, "stanza-id").Attr("by", user.String()).Attr("id", strconv.FormatInt(at, 10)).Done())
}

// refers reports whether what is stored stands for messages in the archive. Nobody
// can send what looks like it: errors are not kept.
func refers(st *xmpp.Stanza) bool { return st.Type == "error" && st.ID == markerID }

// fromArchive reports whether a message that is about to be kept is in the archive,
// or on its way there, and is to stay there alone.
func (m *offline) fromArchive(fate sm.Fate) bool {
	return m.UseMAMForStorage && fate == sm.Archived && mam.Recall.Heard(m.host.Hooks())
}

// fill puts the messages that references of a page stand for in their place, until
// there is not much more than pageBytes. It returns how many of the page it has dealt
// with.
func (m *offline) fill(ctx context.Context, user xmpp.JID, page []message) (n int, err error) {
	size, from, some := 0, 0, 0
	for i := range page {
		if page[i].stanza != nil && refers(page[i].stanza) {
			page[i].absent = true
			some++
		}
		if some < together && i < len(page)-1 {
			continue
		}
		if some > 0 {
			if err := m.fillSome(ctx, user, page[from:i+1]); err != nil {
				return 0, err
			}
		}
		for ; from <= i; from++ {
			size += len(page[from].text)
		}
		if some = 0; size > pageBytes {
			break
		}
	}
	return from, nil
}

// fillSome is fill for not more than together references.
func (m *offline) fillSome(ctx context.Context, user xmpp.JID, page []message) error {
	if !mam.Recall.Heard(m.host.Hooks()) {
		return errNoArchive
	}
	at, ids := map[int64][]int{}, []int64{}
	for i, w := range page {
		if !w.absent {
			continue
		}
		if p := place(w.stanza, user); p != 0 {
			ids = append(ids, p)
			at[p] = append(at[p], i)
		}
	}
	return mam.Recall.Run(ctx, m.host.Hooks(), mam.Scanned{}, mam.Recalling{User: user, IDs: ids, Take: func(list []*xmpp.Stanza) error {
		for _, st := range list {
			for _, i := range at[st.Stamp] {
				page[i].absent = false
				page[i].stanza = stamped(st, m.host.JID, time.UnixMicro(st.Stamp))
				page[i].text = page[i].stanza.XML()
			}
		}
		return nil
	}}).Err
}

// cameAt is when a message came, by the stamp of this server.
func (m *offline) cameAt(st *xmpp.Stanza) (time.Time, bool) {
	for c := range st.Children() {
		if c.Is(nsDelay, "delay") && c.Attr("from") == m.host.JID.String() {
			at, err := time.Parse(time.RFC3339Nano, c.Attr("stamp"))
			return at, err == nil
		}
	}
	return time.Time{}, false
}

// mark is from where on everything in the archive waits, if the row is one that
// ejabberd has left; 0 if it is not.
func (m *offline) mark(w message, user xmpp.JID) int64 {
	if w.stanza == nil {
		return 0
	}
	p := place(w.stanza, user)
	at, ok := m.cameAt(w.stanza)
	switch {
	case !ok:
		return 0
	case refers(w.stanza) && p == 0:
		return max(at.UnixMicro()-1, 1)
	case !refers(w.stanza) && p != 0 && at.Sub(time.UnixMicro(p)).Abs() < near:
		return p
	}
	return 0
}

// takeOver turns what ejabberd has left for user into references. True: there was
// something, and what waits is to be read anew.
func (m *offline) takeOver(ctx context.Context, user xmpp.JID, page []message) (bool, error) {
	if !m.UseMAMForStorage || !mam.Recall.Heard(m.host.Hooks()) {
		return false, nil
	}
	first := int64(0)
	for _, w := range page {
		if p := m.mark(w, user); p != 0 && (first == 0 || p < first) {
			first = p
		}
	}
	if first == 0 {
		return false, nil
	}
	most, infinite := m.Max.Number(m.host.Rules, local.Subject(user))
	if infinite || most <= 0 || most > maxTaken {
		most = maxTaken
	}
	var refs []*xmpp.Stanza
	read := mam.Recall.Run(ctx, m.host.Hooks(), mam.Scanned{}, mam.Recalling{User: user, After: first - 1, Take: func(list []*xmpp.Stanza) error {
		for _, st := range list {
			refs = append(refs, reference(st, user, m.host.JID, st.Stamp))
		}
		if len(refs) > 2*most {
			refs = slices.Clone(refs[len(refs)-most:])
		}
		return nil
	}})
	if read.Err != nil {
		return false, read.Err
	}
	defer m.counts.changed(user)
	return true, m.store.replace(ctx, user, refs[max(0, len(refs)-most):], func(w message) bool { return m.mark(w, user) != 0 })
}

// takeAll is takeOver for everything that waits for user, for who counts or lists it.
func (m *offline) takeAll(ctx context.Context, user xmpp.JID) error {
	if !m.UseMAMForStorage {
		return nil
	}
	for last := int64(0); ; {
		page, more, err := m.store.page(ctx, user, last)
		if err == nil {
			_, err = m.takeOver(ctx, user, page)
		}
		if err != nil || !more {
			return err
		}
		last = page[len(page)-1].seq
	}
}

// trim forgets the oldest references of user where more waits than he may have: such
// messages are never refused, and are in his archive.
func (m *offline) trim(ctx context.Context, user xmpp.JID) error {
	if !m.UseMAMForStorage {
		return nil
	}
	limit, infinite := m.Max.Number(m.host.Rules, local.Subject(user))
	if infinite || limit <= 0 {
		return nil
	}
	upto, err := m.store.beyond(ctx, user, limit)
	if err != nil || upto == 0 {
		return err
	}
	for last := int64(0); last < upto; {
		page, more, err := m.store.page(ctx, user, last)
		if err != nil || len(page) == 0 {
			return err
		}
		var old []int64
		for _, w := range page {
			if last = w.seq; w.seq <= upto && w.stanza != nil && refers(w.stanza) {
				old = append(old, w.seq)
			}
		}
		if _, err = m.store.delete(ctx, user, old); err != nil || !more {
			return err
		}
	}
	return nil
}

// inOrder sorts a page that has messages from the archive by when they came.
func (m *offline) inOrder(page []message) {
	slices.SortStableFunc(page, func(a, b message) int {
		if a.stanza == nil || b.stanza == nil {
			return 0
		}
		x, ok := m.cameAt(a.stanza)
		y, okToo := m.cameAt(b.stanza)
		if !ok || !okToo {
			return 0
		}
		return x.Compare(y)
	})
}

// written waits, without blocking, until it is known of a reference and of what it
// stands for whether they are on the disk.
func (m *offline) written(ctx context.Context, st *xmpp.Stanza, ref *storage.Ticket, then func(err, absent error)) {
	archive := mam.Writing.Run(ctx, m.host.Hooks(), mam.Write{}, st)
	ref.Then(func(err error) {
		switch {
		case archive.Failed:
			then(err, errAbsent)
		case archive.Ticket == nil:
			then(err, nil)
		default:
			archive.Ticket.Then(func(absent error) { then(err, absent) })
		}
	})
}

// whole stores a message that did not get into the archive.
func (m *offline) whole(st *xmpp.Stanza, receipt *sm.Receipt) {
	ctx := sm.WithReceipt(context.WithoutCancel(m.ctx), receipt)
	defer receipt.Release()
	if e := m.keep(ctx, placeless(st, st.To.Bare()), false); e != nil {
		m.refuse(ctx, st, e)
	}
}
