package msgforward

import "time"

// openAfter is how many failures in a row, of more than one conversation, say that
// it is the destination and not the message.
const openAfter = 5

// lastProbe is the longest time between probes, unless the destination asks for
// more.
const lastProbe = 30 * time.Second

// circuit knows whether a destination fails for everyone. While it is open only
// probes are sent, one at a time.
type circuit struct {
	open  bool
	probe time.Time // not before
	pause time.Duration

	failures int
	group    string // of the first failure
	several  bool   // whether others have failed, too
}

// failed takes note of a failure. It reports whether the circuit has just opened.
// after is for how long the destination asks for peace.
func (c *circuit) failed(group string, now time.Time, after time.Duration, r *retry) bool {
	opened := false
	if c.failures == 0 {
		c.group = group
	}
	c.failures++
	c.several = c.several || c.group != group
	switch {
	case c.open:
		c.pause = min(2*c.pause, lastProbe, r.Ceiling)
	case c.failures >= openAfter && c.several:
		opened, c.open, c.pause = true, true, min(r.First, lastProbe)
	default:
		return false
	}
	c.probe = now.Add(max(c.pause, after))
	return opened
}

// succeeded reports whether the circuit has just closed.
func (c *circuit) succeeded() bool {
	closed := c.open
	*c = circuit{}
	return closed
}
