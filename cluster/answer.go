package cluster

import (
	"context"
	"fmt"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/router"
	"github.com/gabberd/gabberd/xmpp"
)

// A question of the server (router.Router.Ask) may go to a client of another node, who
// answers there. The answer goes to the node whose mark is in its id, over the link to
// that, with the bounds that stanzas have: beyond them it is dropped, and the question
// is not answered, as by a client that is silent.

// passAnswers has answers that come for h go to who has asked.
func (c *Cluster) passAnswers(h *host) {
	router.Unasked.Add(owner{h}, hooks.Normal, func(_ context.Context, st *xmpp.Stanza) {
		mark, ok := router.Asker(st)
		if !ok || mark == router.Mark(c.opt.Name) {
			return
		}
		for name, m := range *c.nodes.all.Load() {
			if !m.living() || router.Mark(name) != mark {
				continue
			}
			if l := c.link(name, m.epoch); l != nil && l.send(copied{kind: frameAnswer, st: st, to: st.To, host: h}) != nil {
				c.log.Debug("an answer for another node was dropped", "node", name)
			}
		}
	})
}

// answered hands an answer to who has asked on this node.
func (b *inbox) answered(d delivery) error {
	p, err := readParcel(b.framer, d.f.body)
	switch {
	case err != nil:
		return err
	case !p.st.IsAnswer():
		return fmt.Errorf("%w: an answer that is none", errForeign)
	}
	b.c.opt.Router.Answered(p.st)
	return nil
}
