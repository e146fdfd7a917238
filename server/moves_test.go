package server

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gabberd/gabberd/xmpp"
)

const nsSM = "urn:xmpp:sm:3"

// resumable is a client whose stream can be resumed, and its id.
func (r *running) resumable(who string) (*wire, string) {
	r.t.Helper()
	w := r.session(who)
	w.send("<enable xmlns='" + nsSM + "' resume='true'/>")
	got := w.until("resume='true'/>")
	m := regexp.MustCompile(`<enabled [^>]*id='([^']+)'`).FindStringSubmatch(got)
	if m == nil {
		r.t.Fatalf("not enabled: %s", got)
	}
	return w, m[1]
}

// returns is a client that has logged in and asks to resume.
func (r *running) returns(who, id string, h int) *wire {
	r.t.Helper()
	user, domain, _ := strings.Cut(xmpp.MustParse(who).Bare().String(), "@")
	w, answer := r.auth(user, domain)
	if !strings.Contains(answer, "<success") {
		r.t.Fatalf("%s cannot log in: %s", who, answer)
	}
	w.open(domain)
	w.until("</stream:features>")
	w.send(fmt.Sprintf("<resume xmlns='%s' previd='%s' h='%d'/>", nsSM, id, h))
	return w
}

// rest is what the client is still sent before its connection ends.
func (w *wire) rest() string {
	w.t.Helper()
	if err := w.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		w.t.Fatal(err)
	}
	more, err := io.ReadAll(w.conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		w.t.Fatal("the connection does not end")
	}
	return string(append(w.seen, more...))
}

// bodies are those of the messages in text, in order.
func bodies(text string) (all []string) {
	for _, m := range regexp.MustCompile(`<body>([^<]*)</body>`).FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}

// A stream is resumed on whichever node its client comes back to, whether the old
// connection is noticed to be broken or not. Nothing is lost, nothing comes twice, in
// order; nobody sees the client go.
func TestResumeOnAnotherNode(t *testing.T) {
	n, _ := three(t)
	n[0].register("romeo@localhost", "juliet@localhost")
	romeo := n[2].session("romeo@localhost/orchard")
	romeo.available()
	juliet, id := n[0].resumable("juliet@localhost/balcony")
	juliet.available()
	juliet.send("<presence to='romeo@localhost/orchard'><status>here</status></presence>")
	romeo.until("<status>here</status>")
	juliet.send("<iq type='get' id='contacts'><query xmlns='jabber:iq:roster'/></iq><iq type='set' id='copies'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
	juliet.until("id='copies'")
	sent := 0
	say := func(count int) {
		for range count {
			sent++
			romeo.send(fmt.Sprintf("<message to='juliet@localhost/balcony' type='chat' id='%d'><body>%d</body></message>", sent, sent))
		}
	}
	said, heard := 4, 4 // presence to all and to Romeo, two requests; her own presence, two answers, and the first message
	say(1)
	got := bodies(juliet.until("<body>1</body>"))
	for turn := range 4 {
		juliet.send(fmt.Sprintf("<message to='romeo@localhost' type='chat'><body>back %d</body></message>", turn))
		said++
		romeo.until(fmt.Sprintf("back %d", turn))
		if turn%2 == 0 {
			juliet.conn.Close()
		}
		say(2)
		juliet = n[(turn+1)%3].returns("juliet@localhost/balcony", id, heard)
		say(1)
		text := juliet.until(fmt.Sprintf("<body>%d</body>", sent))
		if want := fmt.Sprintf("<resumed xmlns='%s' previd='%s' h='%d'/>", nsSM, id, said); !strings.Contains(text, want) {
			t.Fatalf("turn %d: %s instead of %s", turn, text, want)
		}
		got = append(got, bodies(text)...)
		heard += 3
	}
	var want []string
	for i := range sent {
		want = append(want, fmt.Sprint(i+1))
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("Juliet has got %v", got)
	}
	romeo.send("<iq type='get' id='last' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
	if got := romeo.until("id='last'"); strings.Contains(got, "unavailable") {
		t.Errorf("Romeo was told that she had gone: %s", got)
	}
	n[2].ctl("add_rosteritem", "juliet", "localhost", "nurse", "localhost", "Nurse", "", "none")
	juliet.until("jid='nurse@localhost'")
	desk := n[1].session("juliet@localhost/desk")
	desk.available()
	romeo.says("a copy of this", "juliet@localhost/desk", desk)
	if got := juliet.until("a copy of this"); !strings.Contains(got, "<received xmlns='urn:xmpp:carbons:2'>") {
		t.Errorf("she gets no copies any more: %s", got)
	}
	desk.send("</stream:stream>")
	desk.until("</stream:stream>")
	eventually(t, "she is there once", func() bool {
		return strings.Join(n[0].lines("connected_users"), " ") == "juliet@localhost/balcony romeo@localhost/orchard"
	})
}

// When a node leaves, its streams go on on the others, and what was sent meanwhile
// waits there.
func TestResumeAfterTheNodeHasLeft(t *testing.T) {
	n, _ := three(t)
	n[0].register("romeo@localhost", "juliet@localhost", "nurse@localhost")
	romeo := n[2].session("romeo@localhost/orchard")
	romeo.available()
	juliet, id := n[0].resumable("juliet@localhost/balcony")
	juliet.available()
	nurse := n[0].session("nurse@localhost/x")
	juliet.send("<presence to='romeo@localhost/orchard'><status>here</status></presence>")
	romeo.until("<status>here</status>")
	romeo.says("before", "juliet@localhost/balcony", juliet)
	n[0].stop()
	if got := nurse.until("</stream:stream>"); !strings.Contains(got, "system-shutdown") {
		t.Errorf("who cannot resume is told: %s", got)
	}
	if got := juliet.rest(); strings.Contains(got, "</stream:stream>") {
		t.Errorf("the stream that goes on was ended: %s", got)
	}
	romeo.send("<message to='juliet@localhost' type='chat'><body>meanwhile</body></message>")
	juliet = n[1].returns("juliet@localhost/balcony", id, 1)
	text := juliet.until("<body>meanwhile</body>")
	if got := strings.Join(bodies(text), ", "); got != "before, meanwhile" || !strings.Contains(text, "<resumed ") {
		t.Errorf("she gets %s", text)
	}
	romeo.send("<iq type='get' id='last' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
	if got := romeo.until("id='last'"); strings.Contains(got, "unavailable") {
		t.Errorf("Romeo was told that she had gone: %s", got)
	}
}

// With Redis away a session cannot go anywhere: its client is told that the server goes,
// and the node does not wait for longer than it may.
func TestNodeLeavesWhileRedisIsAway(t *testing.T) {
	n, kept := three(t)
	n[0].register("juliet@localhost", "nurse@localhost")
	juliet, _ := n[0].resumable("juliet@localhost/balcony")
	nurse := n[0].session("nurse@localhost/x")
	kept.Freeze()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		n[0].stop()
	}()
	if got := nurse.until("</stream:stream>"); !strings.Contains(got, "system-shutdown") {
		t.Errorf("who cannot resume is told: %s", got)
	}
	juliet.rest()
	select {
	case <-ended:
	case <-time.After(2 * patience):
		t.Error("the node does not end")
	}
	kept.Thaw()
	<-ended
}

// Nobody resumes the stream of another account from another node, and who asks for
// one that has ended there hears how much was handled.
func TestResumeElsewhereIsRefused(t *testing.T) {
	n, _ := three(t)
	n[0].register("romeo@localhost", "juliet@localhost")
	juliet, id := n[0].resumable("juliet@localhost/balcony")
	romeo := n[1].returns("romeo@localhost/x", id, 0)
	if got := romeo.until("</failed>"); !strings.Contains(got, "item-not-found") || strings.Contains(got, " h='") {
		t.Errorf("somebody else hears %s", got)
	}
	guess := n[1].returns("juliet@localhost/x", id[1:], 0)
	if got := guess.until("</failed>"); !strings.Contains(got, "item-not-found") || strings.Contains(got, " h='") {
		t.Errorf("a guess is answered by %s", got)
	}
	for i := range 3 {
		juliet.send(fmt.Sprintf("<message to='romeo@localhost' type='chat'><body>%d</body></message>", i))
	}
	juliet.send("<r xmlns='" + nsSM + "'/>")
	juliet.until("h='3'/>")
	juliet.send("</stream:stream>")
	juliet.until("</stream:stream>")
	eventually(t, "who comes too late hears how much was handled", func() bool {
		late := n[2].returns("juliet@localhost/x", id, 0)
		return strings.Contains(late.until("</failed>"), " h='3'")
	})
}
