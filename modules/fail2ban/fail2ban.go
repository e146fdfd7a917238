// Package fail2ban keeps addresses away from which too many logins have failed,
// and makes those wait that are on their way there.
//
// Each node of a cluster counts what fails on itself, and keeps away from itself:
// whoever guesses passwords has so many attempts on each of them. Nothing that a
// stranger can do makes the nodes talk to each other.
//
// Behind a proxy that hides the clients' addresses it would keep everybody away
// at once: name the proxy in the option access.
package fail2ban

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// Module is mod_fail2ban.
var Module = modules.Define("mod_fail2ban", modules.Spec[options]{
	Doc:      "Keeps addresses away from which too many logins have failed. Before that it answers failed logins ever more slowly. Each node of a cluster counts for itself.",
	Start:    start,
	Commands: (*fail2ban)(nil).commands(),
})

type options struct {
	Access      acl.Access
	Lifetime    time.Duration
	MaxFailures int
}

// Fields declares the options.
func (o *options) Fields(f *config.Fields) {
	acl.AccessField(f, &o.Access, "access", "none", "Addresses that are never kept away: a rule with `ip`.")
	f.Duration(&o.Lifetime, "c2s_auth_ban_lifetime", time.Hour, "For how long an address is kept away, and how long a failure is remembered.").Must(config.AtLeast(time.Second))
	f.Int(&o.MaxFailures, "c2s_max_auth_failures", 20, "How many logins may fail before the address is kept away.").Must(config.AtLeast(1))
}

// fail2ban is the module on one virtual host.
type fail2ban struct {
	options
	host    *modules.Host
	records *records
}

func start(h *modules.Host, o options) error {
	m := &fail2ban{o, h, newRecords()}
	auth.Result.Add(h, hooks.Last, m.result) // ejabberd's, as is the next
	sm.StreamStarted.Add(h, hooks.Last, m.started)
	Failures.Add(server{h}, hooks.Normal, m.known)
	Forgiven.Add(server{h}, hooks.Normal, m.forget)
	h.Command(m.commands()...)
	return nil
}

// server is the module as the owner of handlers in the table of the server,
// where the instances on all virtual hosts meet.
type server struct{ *modules.Host }

// Hooks is the table of the server.
func (s server) Hooks() *hooks.Table { return s.Global }

// group is what addresses are counted by: an IPv6 customer has at least a /64.
func group(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // of no address
	}
	return p
}

// result counts a failure, or forgets them all: whoever has logged in from an
// address speaks for it.
func (m *fail2ban) result(ctx context.Context, end *stream.Error, a auth.Attempt) (*stream.Error, hooks.Flow) {
	addr := a.Addr.Addr()
	where := group(addr)
	switch {
	case a.Failure == nil && end == nil:
		Forgiven.Run(ctx, m.host.Global, where)
		return end, hooks.Next
	case a.Failure == nil, !where.IsValid(), errors.Is(a.Failure, auth.ErrTemporary):
		// The last is our own failure.
		return end, hooks.Next
	case m.Access.Allows(m.host.Rules, acl.Subject{IP: addr}):
		return end, hooks.Next
	}
	m.records.fail(where, m.Lifetime)
	all := Failures.Run(ctx, m.host.Global, Record{}, where)
	if all.Count < m.MaxFailures {
		m.wait(ctx, delay(all.Count))
		return end, hooks.Next
	}
	if m.records.ban(where) {
		m.host.Log.Warn("too many failed logins, the address is kept away", "address", addr.String(), "failures", all.Count, "until", all.Until.UTC().Format(time.DateTime)+" UTC")
	}
	return refusal(addr, all), hooks.Next
}

// started turns those away who come again.
func (m *fail2ban) started(ctx context.Context, end *stream.Error, s *sm.Stream) (*stream.Error, hooks.Flow) {
	if end != nil {
		return end, hooks.Next
	}
	addr := s.Addr.Addr()
	all := Failures.Run(ctx, m.host.Global, Record{}, group(addr))
	if !all.Banned || m.Access.Allows(m.host.Rules, acl.Subject{IP: addr}) {
		return nil, hooks.Next
	}
	return refusal(addr, all), hooks.Stop
}

// refusal is what the client is told, in ejabberd's words.
func refusal(addr netip.Addr, r Record) *stream.Error {
	return stream.PolicyViolation.With(fmt.Sprintf("Too many (%d) failed authentications from this IP address (%s). The address will be unblocked at %s UTC",
		r.Count, addr.Unmap(), r.Until.UTC().Format("15:04:05 02.01.2006")))
}

// maxDelay bounds how long the answer to a failed login waits.
const maxDelay = 5 * time.Second

// delay is how long the answer to the nth failure waits. People who mistype
// their password do not notice.
func delay(n int) time.Duration {
	const free, first = 3, 200 * time.Millisecond
	if n <= free {
		return 0
	}
	return min(first<<min(n-free-1, 10), maxDelay)
}

// wait keeps the client's goroutine, and no other, from going on.
func (m *fail2ban) wait(ctx context.Context, d time.Duration) {
	if d == 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	case <-m.host.Context().Done():
	}
}

func (m *fail2ban) known(_ context.Context, r Record, where netip.Prefix) (Record, hooks.Flow) {
	own := m.records.find(where)
	r.Count += own.Count
	r.Banned = r.Banned || own.Banned
	if own.Until.After(r.Until) {
		r.Until = own.Until
	}
	return r, hooks.Next
}

func (m *fail2ban) forget(_ context.Context, where netip.Prefix) { m.records.forget(where) }

// commands are what an operator can do about addresses that are kept away.
func (m *fail2ban) commands() []admin.Command {
	return []admin.Command{
		admin.New("unban_ip", "Let addresses log in again that were kept away.", m.unban).Tags("accounts").EachHost().Result("unbanned").
			Long("The result is how many addresses were remembered for failed logins. IPv6 addresses are remembered as /64 networks. Each node of a cluster remembers its own: call it on all of them.").
			Example("3", "::FFFF:127.0.0.1/128"),
	}
}

type unbanArgs struct{ Address netip.Prefix }

// Fields declares the arguments.
func (a *unbanArgs) Fields(f *config.Fields) {
	config.Value(f, &a.Address, "address", "IP address or network", netip.Prefix{}, "The address, or a network of them.", config.ReadNetwork)
}

func (m *fail2ban) unban(_ context.Context, in unbanArgs) (int, error) {
	p := in.Address
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return m.records.unban(p.Masked()), nil
}
