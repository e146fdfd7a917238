package msgforward

import "time"

// openAfter is how many failures in a row, of more than one conversation, say that
// it is the destination and not the message.
const openAfter = 5

// The time between probes.
const (
	firstProbe = time.Second
	lastProbe  = 30 * time.Second
)

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
func (c *circuit) failed(group string, now time.Time, after time.Duration) bool {
	if c.failures == 0 {
		c.group = group
	}
	c.failures++
	c.several = c.several || c.group != group
	switch {
	case c.open:
		c.pause = min(2*c.pause, lastProbe)
	case c.failures >= openAfter && c.several:
		c.open, c.pause = true, firstProbe
		c.probe = now.Add(max(c.pause, after))
		return true
	default:
		return false
	}
	c.probe = now.Add(max(c.pause, after))
	return false
}

// succeeded reports whether the circuit has just closed.
func (c *circuit) succeeded() bool {
	closed := c.open
	*c = circuit{}
	return closed
}
