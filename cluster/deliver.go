package cluster

import (
	"context"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// A delivery is a frame that is the next one of its link.
type delivery struct {
	ctx context.Context
	l   *link
	f   *frame
	seq uint64
	e   *opened
}

// deliver hands a stanza to its session (step 6 of a message's walk).
func (b *inbox) deliver(d delivery) error {
	p, err := readStanza(b.framer, d.f.body)
	if err != nil {
		return err
	}
	h := b.c.host(p.domain)
	if h == nil {
		b.c.Counters.Homeless.Add(1)
		d.l.charge(d.seq)
		return nil
	}
	if p.st.Kind != xmpp.Message {
		h.Arrive(sm.WithReceipt(d.ctx, nil), d.l.node, p.to, p.st)
		return nil
	}
	d.e.left.Add(1)
	r := sm.NewReceiptOr(func() {
		d.l.charge(d.seq)
		d.e.done()
	}, d.e.done)
	h.Arrive(sm.WithReceipt(d.ctx, r), d.l.node, p.to, p.st)
	r.Release()
	return nil
}

// act acts on one frame.
func (b *inbox) act(d delivery) {
	var err error
	switch d.f.kind {
	case frameStanza:
		err = b.deliver(d)
	case frameStays:
		d.ctx = sm.Staying(d.ctx)
		err = b.deliver(d)
	case frameAnswer:
		err = b.answered(d)
	case frameClose:
		var e ending
		if e, err = readClose(d.f.body); err == nil {
			if h := b.c.host(e.domain); h != nil {
				h.End(e.user, e.id, e.reason)
			}
		}
	case frameEvent:
		var h heard
		if h, err = readEvent(d.f.body); err == nil {
			select {
			case b.c.events <- h:
			case <-b.c.ctx.Done():
			}
		}
	case frameCharge:
		var spans []span
		if spans, err = readCharge(d.f.body); err == nil {
			d.l.discharge(spans)
		}
	case frameWant, frameNone, frameMove, frameTaken:
		err = b.moved(d)
	}
	if err != nil {
		b.c.Counters.Foreign.Add(1)
		b.c.once.foreign("frame", err)
		d.l.charge(d.seq) // nobody will do more about it
	}
}
