package sm

import (
	"sync"
	"testing"
	"time"

	"github.com/gabberd/gabberd/xmpp"
)

func TestNoStampIsGivenTwice(t *testing.T) {
	now := time.Now()
	var mu sync.Mutex
	seen := map[int64]bool{}
	var wg sync.WaitGroup
	for _, node := range []string{"", "a@one", "b@two"} {
		ss := &Sessions{node: node}
		wg.Go(func() {
			last := int64(0)
			for range 2000 {
				n := ss.newStamp(now)
				if n <= last {
					t.Errorf("%d comes after %d", n, last)
				}
				last = n
				mu.Lock()
				if seen[n] {
					t.Errorf("%d was given twice", n)
				}
				seen[n] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func TestNodesTakeTurns(t *testing.T) {
	turn := map[int64]bool{}
	for _, node := range []string{"gabberd@one", "gabberd@two"} {
		ss := &Sessions{node: node}
		first := ss.newStamp(time.Now()) % turns
		for range 100 {
			if n := ss.newStamp(time.Now()) % turns; n != first {
				t.Fatalf("node %s used turn %d and turn %d", node, first, n)
			}
		}
		turn[first] = true
	}
	if len(turn) != 2 {
		t.Errorf("two nodes have turns %v", turn)
	}
}

func TestStampStays(t *testing.T) {
	ss := &Sessions{}
	st, err := xmpp.ParseXML([]byte(`<message xmlns='jabber:client'><body>hi</body></message>`))
	if err != nil {
		t.Fatal(err)
	}
	one := ss.Stamped(st)
	if st.Stamp != 0 || one.Stamp == 0 || ss.Stamped(one) != one {
		t.Errorf("stamps %d, %d, %d", st.Stamp, one.Stamp, ss.Stamped(one).Stamp)
	}
	if with := one.With(xmpp.El("urn:x", "x")); with.Stamp != one.Stamp {
		t.Errorf("a stanza with another child has stamp %d, not %d", with.Stamp, one.Stamp)
	}
}
