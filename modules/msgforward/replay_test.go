package msgforward_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gabberd/gabberd/modules/mam"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/msgforward"
	"github.com/gabberd/gabberd/modules/offline"
)

// TestArchiveAndSpool: one chat is two rows of the archive and one that waits, and is
// forwarded once. It can be again, from the archive.
func TestArchiveAndSpool(t *testing.T) {
	r := receive(t)
	s := modtest.Start(t, `modules: {mod_mam: {default: always}, mod_msg_forward: {url: "`+r.URL+`"}}`, mam.Module, offline.Module, msgforward.Module)
	s.Register("juliet@localhost", "secret")
	romeo := s.Available("romeo@localhost/orchard")
	for _, text := range []string{"one", "two"} {
		romeo.Say(`<message to='juliet@localhost' type='chat' id='x'><body>` + text + `</body></message>`)
	}
	r.wait(t, 2)
	awaitOutput(t, s, "localhost\tdefault\twell\t2\t0\t0\t0\t0", "forward_status")
	now := time.Now()
	from, to := now.Add(-time.Hour).UTC().Format(time.RFC3339), now.Add(time.Hour).UTC().Format(time.RFC3339)
	out, err := s.Command("forward_replay", from, to)
	if out != "2" || err != nil {
		t.Errorf("the replay says %q, %v", out, err)
	}
	got := r.wait(t, 4)
	awaitOutput(t, s, "localhost\tdefault\twell\t4\t0\t0\t0\t0", "forward_status")
	for i, text := range []string{"one", "two", "one", "two"} {
		if !strings.Contains(got[i], `"body":"`+text+`"`) {
			t.Errorf("message %d is %s, want %q", i, got[i], text)
		}
	}
	if len(r.all()) != 4 {
		t.Errorf("%d messages were forwarded", len(r.all()))
	}
	if got[0] != got[2] {
		t.Errorf("the same message is another one the second time:\n%s\n%s", got[0], got[2])
	}
	for words, want := range map[string]string{
		"x " + to: "a time like", from + " " + to + " other": "no destination other", to + " " + to: "0",
	} {
		out, err := s.Command("forward_replay", strings.Fields(words)...)
		if err != nil {
			out = err.Error()
		}
		if !strings.Contains(out, want) {
			t.Errorf("forward_replay %s says %q, want %q in it", words, out, want)
		}
	}
	text := s.Metrics()
	for _, want := range []string{
		`gabberd_forward_delivered_total{destination="default",host="localhost"} 4`, `gabberd_forward_failure_ratio{destination="default",host="localhost",minutes="15"} 0`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
}
