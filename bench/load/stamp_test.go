package load

import (
	"strings"
	"testing"
)

func TestStampIsReadBack(t *testing.T) {
	f := newForm("<message><body>", "</body></message>", 100)
	for _, s := range []stamp{{}, {1, 2, 3}, {1<<32 - 1, 1<<32 - 1, 1<<63 - 1}, {7, 9, -1}} {
		text := string(f.stamped(s))
		if got, ok := readStamp([]byte(text)); !ok || got != s {
			t.Errorf("%v was read as %v, %v", s, got, ok)
		}
		if n := len(text) - len("<message><body></body></message>"); n != 100 {
			t.Errorf("the body has %d bytes", n)
		}
	}
	if f := newForm("", "", 0); len(f.bytes) != stampSize {
		t.Errorf("a form of no size has %d bytes", len(f.bytes))
	}
}

func TestOtherTextIsNoStamp(t *testing.T) {
	whole := string((&form{bytes: []byte(stampMark + strings.Repeat("0", 32))}).bytes)
	for _, text := range []string{"", "hello", stampMark, whole[:len(whole)-1], strings.Replace(whole, "0", "g", 1)} {
		if s, ok := readStamp([]byte(text)); ok {
			t.Errorf("%q was read as %v", text, s)
		}
	}
}

func TestRecord(t *testing.T) {
	for _, c := range []struct {
		numbers []uint32
		want    string // one letter for each number
	}{
		{[]uint32{0, 1, 2, 3}, "...."},
		{[]uint32{0, 0, 1, 1}, ".d.d"},
		{[]uint32{0, 2, 1, 3}, "..o."},
		{[]uint32{3, 0, 1, 2, 2, 4}, ".oood."},
		{[]uint32{0, 5, 5, 3, 3}, "..dod"},
	} {
		var r record
		got := ""
		for _, n := range c.numbers {
			got += map[verdict]string{inOrder: ".", overtaken: "o", doubled: "d"}[r.see(n)]
		}
		if got != c.want {
			t.Errorf("%v: %s, want %s", c.numbers, got, c.want)
		}
	}
}
