package server

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/storage/redis/redistest"
	"github.com/gabberd/gabberd/storage/storagetest"
)

// three are three servers on one Redis and one PostgreSQL.
func three(t *testing.T) (nodes []*running, kept *redistest.Server) {
	t.Helper()
	kept = redistest.Start(t)
	o := storagetest.Variant{PostgreSQL: true, Flavour: storagetest.Variants()[2].Flavour}.SQL(t)
	yaml := strings.Replace(oneDoor, "mod_ping: {}", "mod_ping: {}\n  mod_stream_mgmt: {}\n  mod_admin_extra: {}\n  mod_vcard: {}\n  mod_carboncopy: {}\n  mod_client_state: {}\n  mod_auth_fast: {}\n  mod_privacy: {}\n  mod_blocking: {}", 1) + fmt.Sprintf(
		"default_db: sql\nauth_method: sql\nsql_type: pgsql\nsql_server: %q\nsql_port: %d\nsql_database: %s\nsql_username: %s\nsql_password: %q\nsm_db_type: redis\nredis_server: 127.0.0.1\nredis_port: %d\n",
		o.Server, o.Port, o.Database, o.Username, o.Password, kept.Port())
	for i := range 3 {
		opt := prepareFiles(t, yaml)
		opt.Node = fmt.Sprintf("n%d", i+1)
		nodes = append(nodes, launch(t, opt))
	}
	return nodes, kept
}

func (w *wire) available() {
	w.t.Helper()
	w.send("<presence/>")
	w.until("<presence")
}

// lines is what a command prints, line by line, in order.
func (r *running) lines(words ...string) []string {
	out := strings.Fields(r.ctl(words...))
	slices.Sort(out)
	return out
}

// What holds for the clients of one server holds for those of three: they chat, see
// each other, and an operator sees and ends them wherever he is.
func TestThreeNodesAreOneServer(t *testing.T) {
	n, _ := three(t)
	n[0].register("romeo@localhost", "juliet@localhost")
	romeo, juliet := n[0].session("romeo@localhost/orchard"), n[1].session("juliet@localhost/balcony")
	romeo.available()
	juliet.available()
	romeo.says("to a user", "juliet@localhost", juliet)
	juliet.says("to a client", "romeo@localhost/orchard", romeo)

	romeo.send("<presence to='juliet@localhost' type='subscribe'/>")
	juliet.until("type='subscribe'")
	juliet.send("<presence to='romeo@localhost' type='subscribed'/>")
	romeo.until("from='juliet@localhost/balcony'")

	romeo.send("<iq type='get' id='across' to='juliet@localhost/balcony'><ping xmlns='urn:xmpp:ping'/></iq>")
	juliet.until("<ping xmlns='urn:xmpp:ping'/>")
	juliet.send("<iq type='result' id='across' to='romeo@localhost/orchard'/>")
	romeo.until("id='across'")

	for _, r := range n {
		eventually(t, "every node knows everybody", func() bool {
			return slices.Equal(r.lines("connected_users"), []string{"juliet@localhost/balcony", "romeo@localhost/orchard"})
		})
		if got := r.lines("user_resources", "juliet", "localhost"); !slices.Equal(got, []string{"balcony"}) {
			t.Errorf("%s knows of Juliet's %v", r.opt.Node, got)
		}
		if got := r.lines("list_cluster"); !slices.Equal(got, []string{"n1", "n2", "n3"}) {
			t.Errorf("%s knows of %v", r.opt.Node, got)
		}
	}
	n[2].ctl("kick_user", "juliet", "localhost")
	juliet.until("</stream:stream>")
	romeo.until("type='unavailable'")
	eventually(t, "Juliet is gone everywhere", func() bool { return len(n[0].lines("connected_users")) == 1 })
}

// A resource that is bound elsewhere is taken over, whoever has it.
func TestResourceMovesBetweenNodes(t *testing.T) {
	n, _ := three(t)
	n[0].register("romeo@localhost")
	for i := range 6 {
		old, fresh := n[i%3].session("romeo@localhost/orchard"), n[(i+1)%3].session("romeo@localhost/orchard")
		if got := old.until("</stream:stream>"); !strings.Contains(got, "<conflict") {
			t.Errorf("whoever is replaced hears %s", got)
		}
		if got := n[(i+2)%3].lines("connected_users"); !slices.Equal(got, []string{"romeo@localhost/orchard"}) {
			t.Errorf("there are %v", got)
		}
		fresh.send("</stream:stream>")
		fresh.until("</stream:stream>")
	}
}

// What happens on one node is heard on the two others, once each, and not again
// where it happened.
func TestEventsAreHeardOnThreeNodes(t *testing.T) {
	n, _ := three(t)
	n[0].register("romeo@localhost", "juliet@localhost")
	second, third := n[1].session("romeo@localhost/a"), n[2].session("romeo@localhost/b")
	n[0].ctl("unregister", "romeo", "localhost")
	for _, w := range []*wire{second, third} {
		if got := w.until("</stream:stream>"); !strings.Contains(got, "User removed") {
			t.Errorf("the client of an account that is no more hears %s", got)
		}
	}

	n[1].ctl("reload_config")
	for _, r := range []*running{n[0], n[2]} {
		eventually(t, "the other nodes hear of a new configuration", func() bool {
			return strings.Contains(r.log.String(), "another node has a new configuration; if the file here has changed as well, say reload_config") &&
				strings.Contains(r.log.String(), "node=n2")
		})
	}
	n[1].ctl("clear_cache") // comes after it, so that it has been heard by now if it ever is
	if strings.Contains(n[1].log.String(), "another node has a new configuration") {
		t.Error("a node hears of itself")
	}

	// Somebody's contacts are read on one node and changed on another.
	juliet := n[2].session("juliet@localhost/balcony")
	roster := func() string {
		juliet.send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
		return juliet.until("</iq>", "/></iq>", "<iq type='result' id='r'/>")
	}
	if got := roster(); strings.Contains(got, "nurse") {
		t.Fatalf("Juliet begins with %s", got)
	}
	n[0].ctl("add_rosteritem", "juliet", "localhost", "nurse", "localhost", "Nurse", "", "none")
	juliet.until("nurse@localhost") // the push
	juliet.until("</iq>")
	if got := roster(); !strings.Contains(got, "nurse@localhost") {
		t.Errorf("Juliet's contacts as her node remembers them: %s", got)
	}
}

// Everybody stays and goes on while Redis is away, and is found again when it is
// back, empty as it is.
func TestRedisGoesAndComesBack(t *testing.T) {
	n, kept := three(t)
	n[0].register("romeo@localhost", "juliet@localhost", "paris@localhost")
	romeo, juliet := n[0].session("romeo@localhost/orchard"), n[1].session("juliet@localhost/balcony")
	romeo.available()
	juliet.available()
	romeo.says("before", "juliet@localhost", juliet)
	kept.Stop()
	paris := n[0].session("paris@localhost/hall") // who comes meanwhile is let in
	paris.available()
	paris.says("on one node", "romeo@localhost/orchard", romeo)
	romeo.send("<message type='chat' to='juliet@localhost/balcony'><body>on its way</body></message>")
	juliet.send("<message type='chat' to='paris@localhost'><body>to somebody unknown</body></message>")
	kept.Resume()
	juliet.until("<body>on its way</body>")
	paris.until("<body>to somebody unknown</body>")
	eventually(t, "all are known everywhere", func() bool { return len(n[2].lines("connected_users")) == 3 })
}

// A node that leaves hands over what it has, and its clients hear why.
func TestNodeLeaves(t *testing.T) {
	n, kept := three(t)
	n[0].register("romeo@localhost", "juliet@localhost")
	romeo, juliet := n[0].session("romeo@localhost/orchard"), n[1].session("juliet@localhost/balcony")
	romeo.available()
	juliet.available()
	romeo.says("before", "juliet@localhost", juliet)
	if out, exit := n[1].try("leave_cluster", "n1"); exit == 0 || !strings.Contains(out, "this is n2; ask n1 itself to leave") {
		t.Errorf("one node sends another away: %d %s", exit, out)
	}
	n[1].ctl("leave")
	if got := juliet.until("</stream:stream>"); !strings.Contains(got, "<system-shutdown") {
		t.Errorf("Juliet hears %s", got)
	}
	if err := n[1].over(); err != nil {
		t.Errorf("the node ended with %v", err)
	}
	if got := n[2].lines("list_cluster"); !slices.Equal(got, []string{"n1", "n3"}) {
		t.Errorf("there are still %v", got)
	}
	if left := kept.Do("EXISTS", "gabberd:{nodes}:lease:n2", "gabberd:sm:localhost:node:n2"); fmt.Sprint(left) != "0" {
		t.Errorf("it has left %v of its keys: %v", left, kept.Do("KEYS", "*"))
	}
	romeo.send("<message type='chat' to='juliet@localhost'><body>for later</body></message>")
	romeo.send("<iq type='get' id='then' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
	romeo.until("id='then'")
	juliet = n[2].session("juliet@localhost/balcony")
	juliet.send("<presence/>")
	juliet.until("<body>for later</body>")
}

// Where an operator has named a place, clients are sent there.
func TestClientsAreSentElsewhere(t *testing.T) {
	r := up(t, oneDoor+"see_other_host: other.example:5223\n")
	r.register("romeo@localhost")
	romeo := r.session("romeo@localhost/orchard")
	r.stop()
	if got := romeo.until("</stream:stream>"); !strings.Contains(got, "<see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>other.example:5223</see-other-host>") {
		t.Errorf("Romeo hears %s", got)
	}
}

func TestClusterCommandsOfALonelyServer(t *testing.T) {
	r := up(t, oneDoor)
	if out, exit := r.try("cluster"); exit == 0 || !strings.Contains(out, "sm_db_type: redis makes it one") {
		t.Errorf("%d %s", exit, out)
	}
	if out, exit := r.try("leave"); exit == 0 || !strings.Contains(out, "say stop") {
		t.Errorf("%d %s", exit, out)
	}
	if got := r.lines("list_cluster"); len(got) != 1 || !strings.HasPrefix(got[0], "gabberd@") {
		t.Errorf("it is %v", got)
	}
}

// What is in Redis can be read by a person.
func TestSessionsInRedisCanBeRead(t *testing.T) {
	n, kept := three(t)
	n[0].register("romeo@localhost")
	n[0].session("romeo@localhost/orchard").available()
	fields, ok := kept.Do("HGETALL", "gabberd:sm:romeo@localhost").([]any)
	if !ok || len(fields) != 2 {
		t.Fatalf("Redis has %v", fields)
	}
	var record struct {
		V        int
		Node     string
		JID      string
		Priority int
	}
	text := fmt.Sprint(fields[1])
	if err := json.Unmarshal([]byte(text), &record); err != nil || record.V != 1 || record.Node != "n1" || record.JID != "romeo@localhost/orchard" {
		t.Errorf("a session is %s: %v", text, err)
	}
}
