package register

import (
	"container/list"
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/xmpp"
)

// Options are those of the server as a whole that concern new accounts. Whoever
// reads them answers Timeout with them.
type Options struct{ Timeout time.Duration }

// Fields declares registration_timeout.
func (o *Options) Fields(f *config.Fields) {
	f.Duration(&o.Timeout, "registration_timeout", defaultTimeout, "How long an address must wait after it has made an account before it can make another. `infinity` means that it need not wait.").OrInfinity()
}

const defaultTimeout = 600 * time.Second

// Timeout runs in the server's table when somebody wants an account; the server
// answers with its option registration_timeout. Nobody: 600 seconds.
var Timeout = hooks.NewFold[time.Duration, struct{}]("registration_timeout", "How long must an address wait between two accounts?")

// Recent runs in the server's table, where all virtual hosts hear it: an address
// that has made an account on one of them waits on all of them. It is asked
// about what addresses are grouped by.
var Recent = hooks.NewFold[bool, string]("register_recent", "Has this address made an account not long ago?")

// Made runs on a virtual host when an address has made an account there, so that
// it waits on all nodes. It is told what addresses are grouped by.
var Made = hooks.NewEvent[string]("register_made", "An address has made an account.").Everywhere(hooks.JSON[string]())

// madeElsewhere remembers an address that has made an account on another node.
// Who is on two nodes at the same moment can make one on each.
func (m *module) madeElsewhere(ctx context.Context, source string) {
	if timeout := m.timeout(ctx); timeout > 0 && timeout != config.Infinity && len(source) <= maxSource {
		m.recent.note(source, timeout)
	}
}

func (m *module) timeout(ctx context.Context) time.Duration { return TimeoutOf(ctx, m.host.Global) }

// TimeoutOf is registration_timeout, as the table of the server tells it.
func TimeoutOf(ctx context.Context, global *hooks.Table) time.Duration {
	return Timeout.Run(ctx, global, defaultTimeout, struct{}{})
}

func (m *module) isRecent(ctx context.Context, yes bool, source string) (bool, hooks.Flow) {
	return yes || m.recent.has(source, m.timeout(ctx)), hooks.Next
}

// AddressKey is what the addresses of strangers are grouped by: an IPv6 customer has
// at least a /64.
func AddressKey(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if p, err := a.Prefix(64); err == nil && a.Is6() {
		return p.String()
	}
	return a.String()
}

// Bounds of what is remembered of addresses.
const (
	maxMade  = 10_000 // accounts in registration_timeout; then nobody can make any
	maxTried = 10_000 // addresses that have failed; the oldest is forgotten
	maxTries = 20     // failures of an address in registration_timeout

	maxSource = 4096 // bytes of an address
)

var errTooQuick = xmpp.ResourceConstraint.WithText("Users are not allowed to register accounts so quickly")

// recent remembers who has made an account, and who has tried to, for as long as
// registration_timeout. It has no timers: what is too old goes when it is asked.
type recent struct {
	mu    sync.Mutex
	made  aged
	tried aged
}

func newRecent() *recent { return &recent{made: newAged(), tried: newAged()} }

// reserve lets source make an account, or says that it is too early. elsewhere
// reports whether it has made one on another virtual host. done must be called
// with what came of it. Where nobody has to wait, those who fail have to all the same:
// they would find out which names are taken.
func (r *recent) reserve(source string, timeout time.Duration, elsewhere func() bool) (done func(made bool), err error) {
	limited := timeout != config.Infinity && timeout > 0
	if limited && elsewhere() {
		return nil, errTooQuick
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clean(guessing(timeout))
	if limited && (r.made.count(source) > 0 || len(r.made.byKey) >= maxMade) || r.tried.count(source) >= maxTries {
		return nil, errTooQuick
	}
	if limited {
		r.made.add(source)
	}
	return func(made bool) {
		if made {
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.made.remove(source)
		r.tried.add(source)
		if len(r.tried.byKey) > maxTried {
			r.tried.drop(r.tried.order.Front())
		}
	}, nil
}

// note remembers that source has made an account.
func (r *recent) note(source string, timeout time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clean(timeout)
	if len(r.made.byKey) < maxMade {
		r.made.add(source)
	}
}

// has reports whether source has made an account.
func (r *recent) has(source string, timeout time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clean(timeout)
	return r.made.count(source) > 0
}

func (r *recent) clean(timeout time.Duration) {
	r.made.clean(timeout)
	r.tried.clean(timeout)
}

// aged counts by key, since the first time.
type aged struct {
	byKey map[string]*list.Element
	order *list.List // of *count, the oldest in front
}

type count struct {
	key   string
	since time.Time
	n     int
}

func newAged() aged { return aged{map[string]*list.Element{}, list.New()} }

func (a *aged) count(key string) int {
	if el, ok := a.byKey[key]; ok {
		return el.Value.(*count).n
	}
	return 0
}

func (a *aged) add(key string) {
	if el, ok := a.byKey[key]; ok {
		el.Value.(*count).n++
		return
	}
	a.byKey[key] = a.order.PushBack(&count{key, time.Now(), 1})
}

func (a *aged) remove(key string) {
	if el, ok := a.byKey[key]; ok {
		a.drop(el)
	}
}

func (a *aged) drop(el *list.Element) {
	delete(a.byKey, a.order.Remove(el).(*count).key)
}

// clean forgets what is older than timeout.
func (a *aged) clean(timeout time.Duration) {
	for el := a.order.Front(); el != nil && time.Since(el.Value.(*count).since) >= timeout; el = a.order.Front() {
		a.drop(el)
	}
}
