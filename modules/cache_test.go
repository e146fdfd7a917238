package modules

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

func TestCacheForgetsAndIsBounded(t *testing.T) {
	c := NewCache(local.Cache{Use: true, Size: 3, Missed: true, LifeTime: config.Infinity}, 5000, func(s string) int { return len(s) })
	reads := 0
	read := func(v string) func() (string, error) {
		return func() (string, error) { reads++; return v, nil }
	}
	u := func(i int) xmpp.JID { return xmpp.MustParse(fmt.Sprintf("u%d@localhost", i)) }
	get := func(i int, v string) string {
		got, err := c.Get(u(i), read(v))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if get(1, "a") != "a" || get(1, "b") != "a" || reads != 1 {
		t.Errorf("%d reads", reads)
	}
	c.Forget(u(1))
	if get(1, "b") != "b" {
		t.Error("not forgotten")
	}
	// What was read before a change is not kept after it.
	v, err := c.Get(u(2), func() (string, error) { c.Forget(u(2)); return "old", nil })
	if err != nil || v != "old" || get(2, "new") != "new" {
		t.Error("an old value was kept")
	}
	for i := range 10 {
		get(i, "x")
	}
	if n := len(c.byUser); n != 3 || c.order.Len() != 3 {
		t.Errorf("%d entries", n)
	}
	get(20, strings.Repeat("x", 4000))
	get(21, strings.Repeat("x", 4000))
	if c.weight > 5000 || len(c.byUser) != 1 {
		t.Errorf("%d bytes in %d entries", c.weight, len(c.byUser))
	}
	get(22, strings.Repeat("x", 6000))
	if len(c.byUser) != 0 || c.weight != 0 {
		t.Errorf("%d bytes in %d entries after one that is too big", c.weight, len(c.byUser))
	}
	failing := errors.New("away")
	if _, err := c.Get(u(30), func() (string, error) { return "", failing }); !errors.Is(err, failing) {
		t.Error(err)
	}
	if get(30, "back") != "back" {
		t.Error("an error was kept")
	}
	_, err = c.Get(u(31), func() (string, error) { return "", storage.ErrNotFound })
	_, again := c.Get(u(31), func() (string, error) { return "", failing })
	if !errors.Is(err, storage.ErrNotFound) || !errors.Is(again, storage.ErrNotFound) {
		t.Errorf("%v, %v: that there is nothing was not kept", err, again)
	}
}
