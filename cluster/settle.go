package cluster

import "time"

// settleBeats is how many beats all nodes have, after Redis was emptied, to notice
// that and to write their sessions again.
const settleBeats = 3

// Settled reports whether everybody has had the time to write his sessions since
// Redis was last found empty. Until then it means nothing that somebody is not
// there.
func (c *Cluster) Settled() bool {
	t := c.heart.unsettled.Load()
	return t == nil || time.Since(*t) > settleBeats*c.opt.Beat
}

// Emptied says that Redis has lost what this node has written. It does not wait.
func (c *Cluster) Emptied() {
	if c.Settled() {
		c.unsettle()
	}
	c.pokeHeart()
}

func (c *Cluster) unsettle() {
	now := time.Now()
	c.heart.unsettled.Store(&now)
}
