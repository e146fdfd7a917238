package mam

import (
	"strconv"

	"github.com/gabberd/gabberd/xmpp"
)

// Bounds on a page.
const (
	pageDefault = 50
	pageMost    = 250
	pageBytes   = 1 << 20
	maxIndex    = 10_000 // how many messages an index may skip
	maxNamed    = 250    // messages that one query names
)

// page is which part of the results is wanted (XEP-0059).
type page struct {
	max           int
	after, before int64 // messages it is behind or before; 0: none
	last          bool  // the last page of all
	index         int   // how many messages to skip; -1: none was named
	each          int   // bytes that go along with each message
}

// backwards reports whether the page is counted from its end.
func (p page) backwards() bool { return p.last || p.before != 0 }

// parsePage reads a <set/>. An ID that no message can have is an error
// item-not-found (§2.4).
func parsePage(set *xmpp.Element) (p page, err error) {
	p = page{max: pageDefault, index: -1}
	for el := range set.Children() {
		text := el.Text()
		switch {
		case el.NS != nsRSM:
		case el.Name == "max":
			n, err := strconv.ParseUint(text, 10, 31)
			if err != nil {
				return p, xmpp.BadRequest.WithText("max is not a number")
			}
			p.max = min(int(n), pageMost)
		case el.Name == "index":
			n, err := strconv.ParseUint(text, 10, 31)
			if err != nil {
				return p, xmpp.BadRequest.WithText("index is not a number")
			}
			if n > maxIndex {
				return p, xmpp.FeatureNotImplemented.WithText("The index is too high: page by message IDs") // §2.6
			}
			p.index = int(n)
		case el.Name == "after":
			if p.after, err = parseID(text); err != nil {
				return p, err
			}
		case el.Name == "before" && text == "":
			p.last = true
		case el.Name == "before":
			if p.before, err = parseID(text); err != nil {
				return p, err
			}
		}
	}
	if p.index >= 0 && (p.after != 0 || p.backwards()) {
		return p, xmpp.BadRequest.WithText("An index and a message ID exclude each other")
	}
	return p, nil
}

// parseID reads the ID of a message: a time in microseconds.
func parseID(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 || strconv.FormatInt(n, 10) != text {
		return 0, xmpp.ItemNotFound.WithText("There is no such message")
	}
	return n, nil
}

// element writes what was found (§2.6).
func (r result) element() *xmpp.Element {
	b := xmpp.Build(nsRSM, "set")
	if n := len(r.rows); n > 0 {
		b.Open("", "first")
		if r.index >= 0 {
			b.Attr("index", strconv.Itoa(r.index))
		}
		b.Text(r.rows[0].id()).Close()
		b.Open("", "last").Text(r.rows[n-1].id()).Close()
	}
	if r.count >= 0 {
		b.Open("", "count").Text(strconv.FormatInt(r.count, 10)).Close()
	}
	return b.Done()
}
