package fail2ban

import (
	"net/netip"
	"time"

	"github.com/gabberd/gabberd/hooks"
)

// A Record is what is known of an address: an IPv4 address, or a /64 of IPv6.
type Record struct {
	Count  int       // logins that have failed
	Until  time.Time // when that is forgotten
	Banned bool
}

// The hooks by which the virtual hosts share what they know. They run in the
// server's table.
var (
	Failures = hooks.NewFold[Record, netip.Prefix]("fail2ban_failures", "How many logins have failed from this address? The virtual hosts add up.")
	Forgiven = hooks.NewEvent[netip.Prefix]("fail2ban_forgiven", "Somebody has logged in from this address; what has failed before does not count any more.")
)
