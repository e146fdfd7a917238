package stream_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabberd/gabberd/xmpp/stream"
)

// sameHoweverSplit checks that s gives the same frames and the same error in
// one piece and in pieces of the given sizes.
func sameHoweverSplit(t *testing.T, s string, l stream.Limits, sizes ...int) {
	t.Helper()
	want, wantErr := frames(stream.New(l), s)
	got, err := frames(stream.New(l), s, sizes...)
	if condition(err) != condition(wantErr) {
		t.Errorf("%q in pieces of %v: %v, in one: %v", s, sizes, err, wantErr)
	}
	if !slices.Equal(want, got) {
		t.Errorf("%q in pieces of %v: %s", s, sizes, cmp.Diff(want, got))
	}
}

func TestAnySplitGivesTheSame(t *testing.T) {
	cases := []string{
		header + strings.Join(stanzas, "\n") + "</stream:stream>",
		"<?xml version='1.0' encoding='UTF-8'?>\n <s:s xmlns:s='u' >\n<a/> <b\n>\r\n</b ></s:s >\n",
	}
	for _, in := range good {
		cases = append(cases, "<s><m>"+in+"</m></s>")
	}
	for _, list := range bad {
		for _, in := range list {
			cases = append(cases, "<s><m>"+in+"</m></s>")
		}
	}
	for _, s := range cases {
		for i := 1; i < len(s) && i < 300; i++ {
			sameHoweverSplit(t, s, stream.Limits{}, i, len(s))
		}
		for _, step := range []int{1, 2, 3, 8, 13} {
			sameHoweverSplit(t, s, stream.Limits{}, step)
		}
		for _, size := range []int{4, 9, 20} {
			sameHoweverSplit(t, s, stream.Limits{Size: size}, 1)
			sameHoweverSplit(t, s, stream.Limits{Size: size}, 5)
		}
	}
}

func TestEveryStanzaAtEverySplit(t *testing.T) {
	for _, st := range stanzas {
		f := opened(t)
		whole, n, err := next(f, []byte(st))
		if err != nil || n != len(st) {
			t.Fatalf("%s: %d, %v", st, n, err)
		}
		want := show(whole)
		for i := range st {
			part := []byte(st[:i])
			if fr, n, err := next(f, part); err != nil || n != 0 || fr.Kind != stream.Need {
				t.Fatalf("%s: %v, %d, %v", part, fr.Kind, n, err)
			}
			clear(part) // the buffer may be used for something else
			fr, n, err := next(f, []byte(st))
			if err != nil || n != len(st) || show(fr) != want {
				t.Fatalf("split at %d: %s, %v", i, show(fr), err)
			}
		}
	}
}

func TestStanzasComeOutAsTheyWentIn(t *testing.T) {
	f := opened(t)
	var got []string
	for b := []byte(strings.Join(stanzas, "")); len(b) > 0; {
		fr, n, err := next(f, b)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(fr.Raw))
		b = b[n:]
	}
	if !slices.Equal(got, stanzas) {
		t.Error(cmp.Diff(stanzas, got))
	}
}
