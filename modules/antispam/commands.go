package antispam

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/xmpp"
)

func (m *antispam) commands() []admin.Command {
	c := func(cmd admin.Command) admin.Command { return cmd.Tags("spam").Note("added in 25.07") }
	return []admin.Command{
		c(admin.New("reload_spam_filter_files", "Read the lists of spam again.", m.reload).Example("", "myserver.com")),
		c(admin.New("get_spam_filter_cache", "List who has sent spam, and when he was last caught, in seconds since 1970.", m.cached).
			Result("spammers", "spammer").Example("spammer@example.org\t1767322800", "myserver.com")),
		c(admin.New("expire_spam_filter_cache", "Forget who was not caught for so many seconds. On this node only.", m.expire).
			Example("Expired 3 cache entries", "myserver.com", "86400")),
		c(admin.New("add_to_spam_filter_cache", "Take an address for that of a spammer.", m.add).
			Example("spammer@example.org added to cache", "myserver.com", "spammer@example.org")),
		c(admin.New("drop_from_spam_filter_cache", "Forget that somebody has sent spam.", m.drop).
			Example("spammer@example.org removed from cache", "myserver.com", "spammer@example.org")),
		c(admin.New("get_blocked_domains", "List the domains of spammers.", m.domains).Result("blocked_domains", "jid").
			Example("spam.example", "myserver.com")),
		c(admin.New("add_blocked_domain", "Take a domain for that of spammers, until the server is started again.", m.addDomain).
			Example("spam.example added to blocked domains", "myserver.com", "spam.example")),
		c(admin.New("remove_blocked_domain", "Do not take a domain for that of spammers, until the server is started again.", m.removeDomain).
			Example("spam.example removed from blocked domains", "myserver.com", "spam.example")),
	}
}

// reload keeps the lists as they are if one cannot be read.
func (m *antispam) reload(_ context.Context, _ admin.OnHost) (admin.Rescode, error) {
	l, err := readLists(m.options)
	if err != nil {
		return admin.False, admin.Usage.With("%v", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lists = l
	return admin.OK, nil
}

type spammer struct {
	JID       string `json:"jid"`
	Timestamp int64  `json:"timestamp"`
}

func (m *antispam) cached(context.Context, admin.OnHost) ([]spammer, error) {
	out := []spammer{}
	for _, s := range m.senders.all() {
		out = append(out, spammer{s.jid, s.at.Unix()})
	}
	return out, nil
}

type age struct {
	Host    string
	Seconds int
}

// Fields declares the arguments.
func (a *age) Fields(f *config.Fields) {
	f.String(&a.Host, "host", "", "The virtual host.")
	f.Int(&a.Seconds, "seconds", 0, "How long ago.").Must(config.AtLeast(0))
}

func (m *antispam) expire(_ context.Context, in age) (admin.Restuple, error) {
	n := m.senders.expire(time.Duration(in.Seconds) * time.Second)
	return admin.Restuple{Text: fmt.Sprintf("Expired %d cache entries", n)}, nil
}

type address struct{ Host, JID string }

// Fields declares the arguments.
func (a *address) Fields(f *config.Fields) {
	f.String(&a.Host, "host", "", "The virtual host.")
	f.String(&a.JID, "jid", "", "The address.")
}

func (m *antispam) add(ctx context.Context, in address) (admin.Restuple, error) {
	return m.mark(ctx, in.JID, true, "%s added to cache")
}

func (m *antispam) drop(ctx context.Context, in address) (admin.Restuple, error) {
	return m.mark(ctx, in.JID, false, "%s removed from cache")
}

func (m *antispam) mark(ctx context.Context, text string, spam bool, said string) (admin.Restuple, error) {
	j, err := xmpp.Parse(text)
	if err != nil {
		return admin.Restuple{}, admin.Usage.With("%q is no address", text)
	}
	Marked.Run(ctx, m.host.Hooks(), Mark{JID: j.Bare().String(), Spam: spam})
	return admin.Restuple{Text: fmt.Sprintf(said, j.Bare())}, nil
}

func (m *antispam) domains(context.Context, admin.OnHost) ([]string, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	out := []string{}
	for d := range m.lists.domains {
		if _, said := m.added[d]; !said && m.bad(d) {
			out = append(out, d)
		}
	}
	for d := range m.added {
		if m.bad(d) {
			out = append(out, d)
		}
	}
	slices.Sort(out)
	return out, nil
}

type ofDomain struct{ Host, Domain string }

// Fields declares the arguments.
func (a *ofDomain) Fields(f *config.Fields) {
	f.String(&a.Host, "host", "", "The virtual host.")
	f.String(&a.Domain, "domain", "", "The domain.")
}

func (m *antispam) addDomain(ctx context.Context, in ofDomain) (admin.Restuple, error) {
	return m.markDomain(ctx, in.Domain, true, "%s added to blocked domains")
}

func (m *antispam) removeDomain(ctx context.Context, in ofDomain) (admin.Restuple, error) {
	return m.markDomain(ctx, in.Domain, false, "%s removed from blocked domains")
}

func (m *antispam) markDomain(ctx context.Context, text string, spam bool, said string) (admin.Restuple, error) {
	d, err := domain(text)
	if err != nil {
		return admin.Restuple{}, admin.Usage.With("%q is no domain", text)
	}
	Marked.Run(ctx, m.host.Hooks(), Mark{Domain: d, Spam: spam})
	return admin.Restuple{Text: fmt.Sprintf(said, d)}, nil
}
