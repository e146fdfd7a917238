package roster

// State is how a user and a contact stand to each other, as the user's server
// sees it: the states of RFC 6121 appendix A and pre-approval (§3.4).
type State uint8

// What a State is made of.
const (
	To         State = 1 << iota // the user gets the contact's presence
	From                         // the contact gets the user's presence
	PendingOut                   // the user has asked and waits for the answer
	PendingIn                    // the contact has asked and waits for the answer
	Approved                     // the contact may have the presence before asking for it

	None State = 0
	Both       = To | From
)

// Has reports whether s contains all of part.
func (s State) Has(part State) bool { return s&part == part }

// Subscription is the state as the roster shows it: none, to, from or both.
func (s State) Subscription() string {
	switch s & Both {
	case To:
		return "to"
	case From:
		return "from"
	case Both:
		return "both"
	}
	return "none"
}

// Pending is ejabberd's word for the requests that wait: none, out, in or both.
func (s State) Pending() string {
	switch s & (PendingOut | PendingIn) {
	case PendingOut:
		return "out"
	case PendingIn:
		return "in"
	case PendingOut | PendingIn:
		return "both"
	}
	return "none"
}

// outbound is what becomes of s when the user sends the contact a subscription
// stanza, and whether that is routed (RFC 6121 §A.2, §3.4.2).
func outbound(s State, typ string) (next State, route bool) {
	switch typ {
	case "subscribe":
		if s.Has(To) {
			return s, true
		}
		return s | PendingOut, true
	case "unsubscribe":
		return s &^ (To | PendingOut), true
	case "subscribed":
		switch {
		case s.Has(PendingIn):
			return s&^PendingIn | From, true
		case s.Has(From):
			return s, false
		}
		return s | Approved, false
	case "unsubscribed":
		return s &^ (From | PendingIn | Approved), s&(From|PendingIn) != 0
	}
	return s, false
}

// inbound is what becomes of s when a subscription stanza of the contact
// arrives, whether the user's clients see it, and what the server answers by
// itself, if anything (RFC 6121 §A.3, §3.1.3).
func inbound(s State, typ string) (next State, deliver bool, answer string) {
	switch typ {
	case "subscribe":
		switch {
		case s.Has(From):
			return s, false, "subscribed"
		case s.Has(Approved):
			return s&^PendingIn | From, false, "subscribed"
		}
		return s | PendingIn, !s.Has(PendingIn), ""
	case "unsubscribe":
		return s &^ (From | PendingIn), s&(From|PendingIn) != 0, ""
	case "subscribed":
		if s.Has(PendingOut) {
			return s&^PendingOut | To, true, ""
		}
	case "unsubscribed":
		return s &^ (To | PendingOut), s&(To|PendingOut) != 0, ""
	}
	return s, false, ""
}
