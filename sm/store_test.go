package sm_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

func TestMemory(t *testing.T) { storeTests(t, func(*testing.T) sm.Store { return sm.NewMemory() }) }

// storeTests is what every Store must do. open makes an empty one.
func storeTests(t *testing.T, open func(*testing.T) sm.Store) {
	for name, test := range map[string]func(*testing.T, sm.Store){
		"add and remove": storeAddsAndRemoves, "two of one address": storeKnowsTwoOfOneAddress,
		"slices stay": storeSlicesStay, "at once": storeAtOnce,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func session(full string) *sm.Session {
	return sm.NewSession(xmpp.MustParse(full), &client{done: make(chan struct{})})
}

func storeAddsAndRemoves(t *testing.T, store sm.Store) {
	ctx := context.Background()
	romeo := xmpp.MustParse("romeo@localhost")
	if n := store.Count(); n != 0 || store.User(romeo) != nil || len(store.All()) != 0 {
		t.Fatalf("a new store has %d sessions", n)
	}
	a, b, c := session("romeo@localhost/a"), session("romeo@localhost/b"), session("juliet@localhost/a")
	for _, s := range []*sm.Session{a, b, c} {
		if err := store.Add(ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	if !holds(store.User(romeo), a, b) || !holds(store.User(c.JID.Bare()), c) || !holds(store.All(), a, b, c) || store.Count() != 3 {
		t.Errorf("of romeo %v, all %v, %d", store.User(romeo), store.All(), store.Count())
	}
	if store.User(a.JID) != nil || store.User(xmpp.MustParse("romeo@elsewhere")) != nil {
		t.Error("it answers for addresses that are no users of it")
	}
	for range 2 { // the second time is nothing
		if err := store.Remove(ctx, a); err != nil {
			t.Fatal(err)
		}
		if !holds(store.User(romeo), b) || store.Count() != 2 {
			t.Errorf("of romeo %v, %d", store.User(romeo), store.Count())
		}
	}
	for _, s := range []*sm.Session{b, c} {
		if err := store.Remove(ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	if store.Count() != 0 || len(store.All()) != 0 || len(store.User(romeo)) != 0 {
		t.Errorf("left: %v", store.All())
	}
}

func storeKnowsTwoOfOneAddress(t *testing.T, store sm.Store) {
	ctx := context.Background()
	old, young := session("romeo@localhost/a"), session("romeo@localhost/a")
	for _, s := range []*sm.Session{old, young} {
		if err := store.Add(ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	if !holds(store.User(old.JID.Bare()), old, young) {
		t.Fatalf("%v", store.All())
	}
	if err := store.Remove(ctx, old); err != nil {
		t.Fatal(err)
	}
	if !holds(store.User(old.JID.Bare()), young) {
		t.Errorf("after the old one was removed: %v", store.All())
	}
}

// Whoever reads while others come and go sees what was when he asked.
func storeSlicesStay(t *testing.T, store sm.Store) {
	ctx := context.Background()
	a, b, c := session("romeo@localhost/a"), session("romeo@localhost/b"), session("romeo@localhost/c")
	for _, s := range []*sm.Session{a, b} {
		if err := store.Add(ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	before := store.User(a.JID.Bare())
	if err := store.Remove(ctx, a); err != nil {
		t.Fatal(err)
	}
	if err := store.Add(ctx, c); err != nil {
		t.Fatal(err)
	}
	if !holds(before, a, b) {
		t.Errorf("a slice that was handed out has changed: %v", before)
	}
}

func storeAtOnce(t *testing.T, store sm.Store) {
	ctx := context.Background()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for k := range 50 {
				s := session(fmt.Sprintf("u%d@localhost/%d", k%4, i))
				if err := store.Add(ctx, s); err != nil {
					t.Error(err)
				}
				if !contains(store.User(s.JID.Bare()), s) {
					t.Error("what was added is not there")
				}
				store.All()
				if err := store.Remove(ctx, s); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if store.Count() != 0 || len(store.All()) != 0 {
		t.Errorf("%d left: %v", store.Count(), store.All())
	}
}

func contains(list []*sm.Session, s *sm.Session) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// holds reports whether list is exactly want, in any order.
func holds(list []*sm.Session, want ...*sm.Session) bool {
	for _, s := range want {
		if !contains(list, s) {
			return false
		}
	}
	return len(list) == len(want)
}
