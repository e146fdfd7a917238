package roster

import "testing"

// named are the states as RFC 6121 §A.1 names them.
var named = map[string]State{
	"None": None, "None+Out": PendingOut, "None+In": PendingIn, "None+Out+In": PendingOut | PendingIn,
	"To": To, "To+In": To | PendingIn, "From": From, "From+Out": From | PendingOut, "Both": Both,
}

// transitions are the tables of RFC 6121 §A.2 and §A.3: what becomes of a state
// and whether the stanza goes on, to the contact or to the user's clients.
var transitions = []struct {
	direction, typ string
	table          map[string]string // "!" in front: it goes on
}{
	{"out", "subscribe", map[string]string{
		"None": "!None+Out", "None+Out": "!None+Out", "None+In": "!None+Out+In", "None+Out+In": "!None+Out+In",
		"To": "!To", "To+In": "!To+In", "From": "!From+Out", "From+Out": "!From+Out", "Both": "!Both"}},
	{"out", "unsubscribe", map[string]string{
		"None": "!None", "None+Out": "!None", "None+In": "!None+In", "None+Out+In": "!None+In",
		"To": "!None", "To+In": "!None+In", "From": "!From", "From+Out": "!From", "Both": "!From"}},
	{"out", "subscribed", map[string]string{
		"None": "None", "None+Out": "None+Out", "None+In": "!From", "None+Out+In": "!From+Out",
		"To": "To", "To+In": "!Both", "From": "From", "From+Out": "From+Out", "Both": "Both"}},
	{"out", "unsubscribed", map[string]string{
		"None": "None", "None+Out": "None+Out", "None+In": "!None", "None+Out+In": "!None+Out",
		"To": "To", "To+In": "!To", "From": "!None", "From+Out": "!None+Out", "Both": "!To"}},
	{"in", "subscribe", map[string]string{
		"None": "!None+In", "None+Out": "!None+Out+In", "None+In": "None+In", "None+Out+In": "None+Out+In",
		"To": "!To+In", "To+In": "To+In", "From": "From", "From+Out": "From+Out", "Both": "Both"}},
	{"in", "unsubscribe", map[string]string{
		"None": "None", "None+Out": "None+Out", "None+In": "!None", "None+Out+In": "!None+Out",
		"To": "To", "To+In": "!To", "From": "!None", "From+Out": "!None+Out", "Both": "!To"}},
	{"in", "subscribed", map[string]string{
		"None": "None", "None+Out": "!To", "None+In": "None+In", "None+Out+In": "!To+In",
		"To": "To", "To+In": "To+In", "From": "From", "From+Out": "!Both", "Both": "Both"}},
	{"in", "unsubscribed", map[string]string{
		"None": "None", "None+Out": "!None", "None+In": "None+In", "None+Out+In": "!None+In",
		"To": "!None", "To+In": "!None+In", "From": "From", "From+Out": "!From", "Both": "!From"}},
}

func TestStatesOfRFC6121(t *testing.T) {
	for _, tr := range transitions {
		if len(tr.table) != len(named) {
			t.Errorf("%s %s: the table has %d rows", tr.direction, tr.typ, len(tr.table))
		}
		for before, after := range tr.table {
			goesOn := after[0] == '!'
			if goesOn {
				after = after[1:]
			}
			var next State
			var on bool
			answer := ""
			if tr.direction == "out" {
				next, on = outbound(named[before], tr.typ)
			} else {
				next, on, answer = inbound(named[before], tr.typ)
			}
			// Without a request, an approval is one for later (§3.4.2).
			if tr.direction == "out" && tr.typ == "subscribed" && !named[before].Has(PendingIn) && !named[before].Has(From) {
				if !next.Has(Approved) {
					t.Errorf("out subscribed in %s does not approve beforehand", before)
				}
				next &^= Approved
			}
			if next != named[after] || on != goesOn {
				t.Errorf("%s %s in %s: state %b, goes on %v; want %s, %v", tr.direction, tr.typ, before, next, on, after, goesOn)
			}
			wantAnswer := ""
			if tr.direction == "in" && tr.typ == "subscribe" && named[before].Has(From) {
				wantAnswer = "subscribed"
			}
			if answer != wantAnswer {
				t.Errorf("%s %s in %s is answered %q, want %q", tr.direction, tr.typ, before, answer, wantAnswer)
			}
		}
	}
}

func TestPreApproval(t *testing.T) {
	for _, before := range []State{None, To, PendingOut} {
		next, deliver, answer := inbound(before|Approved, "subscribe")
		if next != before|Approved|From || deliver || answer != "subscribed" {
			t.Errorf("request in %b with approval: %b, delivered %v, answered %q", before, next, deliver, answer)
		}
		if next, route := outbound(before|Approved, "unsubscribed"); next != before || route {
			t.Errorf("approval taken back in %b: %b, routed %v", before, next, route)
		}
	}
	if next, route := outbound(From|Approved, "unsubscribed"); next != None || !route {
		t.Errorf("subscription taken back: %b, routed %v", next, route)
	}
}

func TestColumnsKeepTheState(t *testing.T) {
	for name, s := range named {
		if got := decode(encode(s)); got != s {
			t.Errorf("%s comes back as %b", name, got)
		}
	}
	for ask, want := range map[string]State{"S": PendingOut, "U": None, "?": None} {
		if got := decode("N", ask); got != want {
			t.Errorf("ask %s is read as %b, want %b", ask, got, want)
		}
	}
}
