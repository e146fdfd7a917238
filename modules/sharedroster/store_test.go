package sharedroster

import (
	"context"
	"slices"
	"testing"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
	"github.com/gabberd/gabberd/xmpp"
)

func TestStore(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := context.Background()
		if err := db.Migrate(ctx, "mod_shared_roster_sql", schema...); err != nil {
			t.Fatal(err)
		}
		s, romeo := store{db}, xmpp.MustParse("romeo@localhost")
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(s.create(ctx, &group{name: "a", label: "Größe", displayed: []string{"a", "b"}, all: true}))
		if err := s.create(ctx, &group{name: "a"}); err == nil {
			t.Error("a group was made twice")
		}
		must(s.edit(ctx, "a", func(g *group) { g.about = "x" }))
		g, err := s.group(ctx, "a")
		if err != nil || g.label != "Größe" || g.about != "x" || !slices.Equal(g.displayed, []string{"a", "b"}) || !g.all || g.online {
			t.Errorf("got %+v, %v", g, err)
		}
		must(s.add(ctx, romeo, "a"))
		must(s.add(ctx, romeo, "a"))
		if in, err := s.in(ctx, romeo, "a"); !in || err != nil {
			t.Errorf("%v, %v", in, err)
		}
		must(s.take(ctx, romeo, "a"))
		if in, err := s.in(ctx, romeo, "a"); in || err != nil {
			t.Errorf("%v, %v", in, err)
		}
		must(s.add(ctx, romeo, "a"))
		must(s.delete(ctx, "a"))
		if in, err := s.in(ctx, romeo, "a"); in || err != nil {
			t.Errorf("%v, %v", in, err)
		}
		if all, err := s.groups(ctx); len(all) != 0 || err != nil {
			t.Errorf("left: %v, %v", all, err)
		}
	})
}

// TestOptionsOfEjabberd: what it writes is read, what is not understood stays.
func TestOptionsOfEjabberd(t *testing.T) {
	g := readGroup("x", `[{displayed_groups,[<<"a">>,"b"]},{label,<<"Gr\303\266\303\237e">>},{description,<<"">>},{all_users,true},{disabled,false},online_users]`)
	if g.label != "Größe" || !slices.Equal(g.displayed, []string{"a", "b"}) || !g.all || !g.online {
		t.Errorf("got %+v", g)
	}
	if again := readGroup("x", g.text()); len(again.other) != 1 || again.label != g.label {
		t.Errorf("written: %s", g.text())
	}
	if g := readGroup("x", `no erlang`); g.label != "x" || len(g.displayed) != 0 {
		t.Errorf("got %+v", g)
	}
}
