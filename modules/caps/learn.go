package caps

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// Bounds on what strangers can have the server do.
const (
	maxPending    = 1000 // names being found out
	maxCandidates = 8    // clients to ask for one name, of different users
	maxWaiting    = 5000 // sightings that wait for one name
	maxAsking     = 64   // questions at the same time
	answerTime    = 30 * time.Second
	lookAgain     = time.Second      // between two looks for what another node is finding out
	failureTime   = 10 * time.Minute // before somebody is asked again for what he did not know
	budgetTime    = time.Hour
	userBudget    = 20  // new names that one user may bring within budgetTime
	domainBudget  = 500 // and all users of another server
)

// A learner finds out what names mean.
type learner struct {
	host    *modules.Host
	ctx     context.Context
	cancel  context.CancelFunc
	store   store
	cache   *lru[Caps, []string]
	failed  *lru[failure, struct{}]
	budget  *lru[string, int] // by bare address, or domain
	learned func(context.Context, Caps, []string, []sight)

	asking  chan struct{} // one place for each question
	working sync.WaitGroup

	mu      sync.Mutex
	pending map[Caps]*inquiry
	stopped bool
}

// An inquiry is a name that is being found out.
type inquiry struct {
	candidates []xmpp.JID
	waiting    []sight
}

// A failure is somebody who did not know a name that he used.
type failure struct {
	user xmpp.JID
	caps Caps
}

func newLearner(h *modules.Host, s store, c local.Cache) *learner {
	ctx, cancel := context.WithCancel(h.Context())
	return &learner{
		host: h, ctx: ctx, cancel: cancel, store: s,
		cache:  newLRU[Caps, []string](c.Size, c.LifeTime),
		failed: newLRU[failure, struct{}](1000, failureTime),
		budget: newLRU[string, int](10_000, budgetTime),
		asking: make(chan struct{}, maxAsking), pending: map[Caps]*inquiry{},
	}
}

// stop gives up what is being found out.
func (l *learner) stop() {
	l.mu.Lock()
	l.stopped = true
	l.mu.Unlock()
	l.cancel()
	l.working.Wait()
}

// note takes up that from uses the name c, and who waits for its meaning. It
// returns at once.
func (l *learner) note(c Caps, from xmpp.JID, waiting ...sight) {
	if _, ok := l.cache.get(c); ok && len(waiting) == 0 {
		return
	}
	c, from = c.clone(), from.Clone()
	l.mu.Lock()
	defer l.mu.Unlock()
	q, ok := l.pending[c]
	if !ok {
		if l.stopped || len(l.pending) >= maxPending {
			return
		}
		q = &inquiry{}
		l.pending[c] = q
		l.working.Go(func() { l.find(l.ctx, c, q) })
	}
	same := func(j xmpp.JID) bool { return j.Bare() == from.Bare() }
	if len(q.candidates) < maxCandidates && !slices.ContainsFunc(q.candidates, same) {
		q.candidates = append(q.candidates, from)
	}
	if len(q.waiting)+len(waiting) <= maxWaiting {
		q.waiting = append(q.waiting, waiting...)
	}
}

// find looks the name up, or asks those who use it until one of them knows.
func (l *learner) find(ctx context.Context, c Caps, q *inquiry) {
	known, ok := l.cache.get(c)
	var err error
	if !ok {
		known, err = l.store.get(ctx, c)
	}
	if err != nil && !errors.Is(err, storage.ErrNotFound) && ctx.Err() == nil {
		l.host.Log.Error("capabilities cannot be looked up", "error", err)
	}
	for err != nil {
		from, ok := l.next(c, q)
		if !ok {
			return
		}
		if known, err = l.ask(ctx, c, from); err == nil {
			l.keep(ctx, c, known)
		} else if ctx.Err() == nil {
			l.failed.put(failure{from.Bare(), c}, struct{}{})
		}
	}
	l.cache.put(c, known)
	l.mu.Lock()
	delete(l.pending, c)
	waiting := q.waiting
	l.mu.Unlock()
	l.learned(ctx, c, known, waiting)
}

func (l *learner) keep(ctx context.Context, c Caps, known []string) {
	if err := l.store.put(ctx, c, known); err != nil && ctx.Err() == nil {
		l.host.Log.Error("capabilities cannot be stored", "error", err)
	}
}

// next is whom to ask. If there is nobody the inquiry is over.
func (l *learner) next(c Caps, q *inquiry) (xmpp.JID, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(q.candidates) > 0 && l.ctx.Err() == nil {
		from := q.candidates[0]
		q.candidates = q.candidates[1:]
		if _, failed := l.failed.get(failure{from.Bare(), c}); !failed && l.afford(from) {
			return from, true
		}
	}
	delete(l.pending, c)
	return xmpp.JID{}, false
}

// afford reports whether from may bring one more name.
func (l *learner) afford(from xmpp.JID) bool {
	who, most := from.Bare().String(), userBudget
	if !l.host.Router.Serves(from.Domain()) {
		who, most = from.Domain(), domainBudget
	}
	ok := false
	l.budget.change(who, func(n int) int {
		if ok = n < most; ok {
			n++
		}
		return n
	})
	return ok
}

// elsewhere reports whether from is a client of another node. That node asks it;
// an answer would come there, too.
func (l *learner) elsewhere(from xmpp.JID) bool {
	if from.Domain() != l.host.Domain {
		return false
	}
	s := l.host.Sessions.Find(from)
	return s != nil && s.Remote()
}

// await waits until another node has stored what c means.
func (l *learner) await(ctx context.Context, c Caps) ([]string, error) {
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	for {
		known, err := l.store.get(ctx, c)
		if err == nil || !errors.Is(err, storage.ErrNotFound) {
			return known, err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// ask asks from what c means. The features are verified.
func (l *learner) ask(ctx context.Context, c Caps, from xmpp.JID) ([]string, error) {
	select {
	case l.asking <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-l.asking }()
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	if l.elsewhere(from) {
		return l.await(ctx, c)
	}
	question := xmpp.Build(disco.NSInfo, "query").Attr("node", c.Node+"#"+c.Ver).Done()
	st, err := l.host.Ask(ctx, from, question, "get")
	if err != nil {
		return nil, err
	}
	answer := st.Child(disco.NSInfo, "query")
	if answer == nil {
		return nil, errIllFormed
	}
	e := disco.ParseEntity(answer)
	if err := c.verify(e); err != nil {
		return nil, err
	}
	out := make([]string, len(e.Features))
	for i, f := range e.Features {
		out[i] = string([]byte(f)) // not the whole answer's memory
	}
	slices.Sort(out)
	return out, nil
}
