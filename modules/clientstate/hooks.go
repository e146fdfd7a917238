package clientstate

import (
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
)

// Changed tells whenever a client says whether somebody looks at it.
var Changed = hooks.NewEvent[Activity]("csi_activity", "A client has said that it is active, or that it is not.")

// An Activity is what a client has said of itself.
type Activity struct {
	Session *sm.Session
	Active  bool
}

// String is the session and what it has said, for traces.
func (a Activity) String() string {
	if a.Active {
		return a.Session.String() + " active"
	}
	return a.Session.String() + " inactive"
}
