package sm_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage/redis/redistest"
	"github.com/gabberd/gabberd/xmpp"
)

func TestMemory(t *testing.T) {
	storeTests(t, func(*testing.T) sm.Store { return sm.NewMemory() })
}

func TestRedis(t *testing.T) {
	server := redistest.Start(t)
	storeTests(t, func(t *testing.T) sm.Store { return newWorld(t, server).join("here").store })
	severalNodes(t, func(t *testing.T) *world { return newWorld(t, server) })
}

func TestRedisCluster(t *testing.T) {
	cluster := redistest.StartCluster(t)
	storeTests(t, func(t *testing.T) sm.Store { return newWorld(t, cluster).join("here").store })
	severalNodes(t, func(t *testing.T) *world { return newWorld(t, cluster) })
}

// storeTests is what every Store must do, also one that shares what it knows. open
// makes an empty one of the node here.
func storeTests(t *testing.T, open func(*testing.T) sm.Store) {
	for name, test := range map[string]func(*testing.T, sm.Store){
		"add and remove": storeAddsAndRemoves, "two of one address": storeKnowsTwoOfOneAddress,
		"slices stay": storeSlicesStay, "at once": storeAtOnce,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// session is one of the node here, which is not opened.
func session(full string) *sm.Session { return sessionOn("here", full) }

func sessionOn(node, full string) *sm.Session {
	s := sm.NewSession(xmpp.MustParse(full), &client{done: make(chan struct{})})
	s.ID.Node = node
	return s
}

// add adds sessions, and wants to hear of each that it is there.
func add(t testing.TB, store sm.Store, sessions ...*sm.Session) {
	t.Helper()
	for _, s := range sessions {
		all, err := store.Add(context.Background(), s)
		if err != nil {
			t.Fatal(err)
		}
		if !contains(all, s) {
			t.Errorf("added, but not in what Add returned: %v", all)
		}
	}
}

func remove(t testing.TB, store sm.Store, sessions ...*sm.Session) {
	t.Helper()
	for _, s := range sessions {
		if err := store.Remove(context.Background(), s); err != nil {
			t.Fatal(err)
		}
	}
}

// must is what a store answers, which cannot fail here.
func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
		return v
	}
}

// knows checks what a store says in all its ways of the sessions of a user, and of
// all.
func knows(t *testing.T, store sm.Store, user xmpp.JID, his []*sm.Session, all ...*sm.Session) {
	t.Helper()
	list, count := must[[]*sm.Session](t), must[int](t)
	for name, got := range map[string][]*sm.Session{
		"User": list(store.User(user)), "Fresh": list(store.Fresh(user)), "Local": store.Local(user),
	} {
		if !holds(got, his...) {
			t.Errorf("%s of %v is %v, not %v", name, user, got, his)
		}
	}
	if got := list(store.All()); !holds(got, all...) {
		t.Errorf("All is %v, not %v", got, all)
	}
	if got := store.Here(); !holds(got, all...) {
		t.Errorf("Here is %v, not %v", got, all)
	}
	if got := count(store.Count()); got != len(all) {
		t.Errorf("Count is %d, not %d", got, len(all))
	}
}

func storeAddsAndRemoves(t *testing.T, store sm.Store) {
	romeo, juliet := xmpp.MustParse("romeo@localhost"), xmpp.MustParse("juliet@localhost")
	knows(t, store, romeo, nil)
	a, b, c := session("romeo@localhost/a"), session("romeo@localhost/b"), session("juliet@localhost/a")
	add(t, store, a, b, c)
	knows(t, store, romeo, []*sm.Session{a, b}, a, b, c)
	knows(t, store, juliet, []*sm.Session{c}, a, b, c)
	knows(t, store, a.JID, nil, a, b, c) // is no user
	knows(t, store, xmpp.MustParse("romeo@elsewhere"), nil, a, b, c)
	knows(t, store, xmpp.MustParse("localhost"), nil, a, b, c)
	store.Changed(context.Background(), a)
	knows(t, store, romeo, []*sm.Session{a, b}, a, b, c)
	for range 2 { // the second time is nothing
		remove(t, store, a)
		knows(t, store, romeo, []*sm.Session{b}, b, c)
	}
	store.Changed(context.Background(), a) // it comes too late
	knows(t, store, romeo, []*sm.Session{b}, b, c)
	remove(t, store, b, c)
	knows(t, store, romeo, nil)
}

func storeKnowsTwoOfOneAddress(t *testing.T, store sm.Store) {
	old, young := session("romeo@localhost/a"), session("romeo@localhost/a")
	add(t, store, old, young)
	knows(t, store, old.JID.Bare(), []*sm.Session{old, young}, old, young)
	remove(t, store, old)
	knows(t, store, old.JID.Bare(), []*sm.Session{young}, young)
}

// Whoever reads while others come and go sees what was when he asked.
func storeSlicesStay(t *testing.T, store sm.Store) {
	a, b, c := session("romeo@localhost/a"), session("romeo@localhost/b"), session("romeo@localhost/c")
	add(t, store, a, b)
	before := must[[]*sm.Session](t)(store.User(a.JID.Bare()))
	remove(t, store, a)
	add(t, store, c)
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
				if all, err := store.Add(ctx, s); err != nil || !contains(all, s) {
					t.Errorf("added: %v, %v", all, err)
				}
				if all, err := store.User(s.JID.Bare()); err != nil || !contains(all, s) {
					t.Errorf("what was added is not in %v, %v", all, err)
				}
				store.Changed(ctx, s)
				if all, err := store.All(); err != nil || !contains(all, s) {
					t.Errorf("what was added is not in %v, %v", all, err)
				}
				if err := store.Remove(ctx, s); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	knows(t, store, xmpp.MustParse("u0@localhost"), nil)
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
