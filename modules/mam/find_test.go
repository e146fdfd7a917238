package mam

import (
	"slices"
	"testing"
)

// Messages of one time are all found by who pages, in either direction: a page does
// not end between them.
func TestPagesDoNotPartMessagesOfOneTime(t *testing.T) {
	each(t, func(t *testing.T, s store) {
		for _, stamp := range []int64{1, 2, 2, 3, 3, 3, 4} {
			put(t, s, juliet, romeo, stamp)
		}
		for limit := 1; limit <= 7; limit++ {
			for _, p := range []page{{max: limit, index: -1}, {max: limit, index: -1, last: true}} {
				var got []int64
				for range 20 {
					r, err := s.find(t.Context(), filter{user: juliet}, p)
					if err != nil {
						t.Fatal(err)
					}
					for _, x := range r.rows {
						got = append(got, x.stamp)
					}
					if r.complete || len(r.rows) == 0 {
						break
					}
					if p.backwards() {
						p = page{max: limit, index: -1, before: r.rows[0].stamp}
					} else {
						p = page{max: limit, index: -1, after: r.rows[len(r.rows)-1].stamp}
					}
				}
				slices.Sort(got)
				if want := []int64{1, 2, 2, 3, 3, 3, 4}; !slices.Equal(got, want) {
					t.Errorf("pages of %d, backwards %v: %v", limit, p.backwards(), got)
				}
			}
		}
	})
}
