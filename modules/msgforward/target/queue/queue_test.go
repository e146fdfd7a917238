package queue_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabberd/gabberd/modules/msgforward/target/queue"
)

func TestParse(t *testing.T) {
	u, err := queue.Parse("KAFKA://romeo:p%40ss%2F@one,two:9093,[::1],[::2]:9094/a%20topic?sasl=plain&n=7&on=true")
	if err != nil {
		t.Fatal(err)
	}
	if u.Scheme != "kafka" || u.User != "romeo" || u.Password != "p@ss/" || u.Path != "a topic" {
		t.Errorf("got %+v", u)
	}
	want := []string{"one:9092", "two:9093", "[::1]:9092", "[::2]:9094"}
	if diff := cmp.Diff(want, u.Addrs("9092")); diff != "" {
		t.Error(diff)
	}
	if u.Text("sasl") != "plain" || u.Number("n") != 7 || !u.Bool("on") || u.Has("off") {
		t.Error("options are not what was written")
	}
	if err := u.Rest(); err != nil {
		t.Error(err)
	}
	if got := u.String(); got != "kafka://one,two:9093,[::1],[::2]:9094/a topic" {
		t.Errorf("shown as %s", got)
	}
}

func TestWhatIsNoURL(t *testing.T) {
	for _, text := range []string{
		"", "s3cret", "://s3cret", "redis://", "redis://user:s3cret@", "redis://user:s3cret@host:port", "redis://u:s3cret/x@host",
		"redis://user:s3cret%zz@host", "redis://user:s3cret@host/%zz", "redis://user:s3cret@host?a=%zz", "redis://user:s3cret@a:1:2",
		"redis://user:s3cret@host:70000", "redis://user:s3cret@a,,b",
	} {
		_, err := queue.Parse(text)
		if err == nil {
			t.Errorf("%q was taken", text)
		} else if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: the error shows the password: %v", text, err)
		}
	}
}

func TestOptionsThatAreWrong(t *testing.T) {
	for query, want := range map[string]string{
		"n=x": "n must be a number above 0", "n=-1": "n must be a number above 0", "b=yes": "b must be true or false",
		"n=1&n=2": "n is given twice", "c=1": `a redis URL has no option "c"; it has n, b`,
	} {
		u, err := queue.Parse("redis://host?" + query)
		if err != nil {
			t.Fatal(err)
		}
		u.Number("n")
		u.Bool("b")
		if err := u.Rest(); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", query, err, want)
		}
	}
}

func TestWavesKeepTheOrderOfGroups(t *testing.T) {
	var batch []queue.Message
	for _, id := range strings.Fields("a1 b1 a2 -1 a3 b2 -2") {
		batch = append(batch, queue.Message{ID: id, Group: strings.Trim(id[:1], "-")})
	}
	var got []string
	for _, wave := range queue.Waves(batch) {
		var ids []string
		for _, m := range wave {
			ids = append(ids, m.ID)
		}
		got = append(got, strings.Join(ids, " "))
	}
	if diff := cmp.Diff([]string{"a1 b1 -1 -2", "a2 b2", "a3"}, got); diff != "" {
		t.Error(diff)
	}
}
