// Package antispam refuses messages and subscription requests of known spammers,
// and messages with links and addresses that spam has.
//
// Lists are files that an operator keeps (lists.go). Who sends what is in them is
// remembered for a while (senders.go). check.go decides.
package antispam

import (
	"context"
	"sync"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/sm"
)

// Module is mod_antispam.
var Module = modules.Define("mod_antispam", modules.Spec[options]{
	Doc:      "Refuses spam, by lists of addresses, links and domains.",
	Start:    start,
	Commands: (*antispam)(nil).commands(),
})

type options struct {
	Access    acl.Access
	CacheSize int
	JIDs      string
	URLs      string
	Domains   string
	Whitelist string
	Dump      string
	Services  bool
}

const none = "none"

// Fields declares the options.
func (o *options) Fields(f *config.Fields) {
	acl.AccessField(f, &o.Access, "access_spam", "none", "Who is sent spam all the same.")
	f.IntOrInfinity(&o.CacheSize, "cache_size", 10_000, "How many senders of spam are remembered.").Must(config.AtLeast(1))
	config.Value(f, &o.Services, "rtbl_services", "list", false, "Real-time block lists to follow.",
		func(n *config.Node) (bool, error) { return n.Len() > 0, nil }).DefaultText("[]").Fatal()
	f.String(&o.Domains, "spam_domains_file", none, "A file with the domains of spammers, one a line.")
	config.Value(f, &o.Dump, "spam_dump_file", "false | file", "", "A file to which is written what was refused. If not, it is logged.", decodeDump).DefaultText("false")
	f.String(&o.JIDs, "spam_jids_file", none, "A file with the addresses of spammers, one a line.")
	f.String(&o.URLs, "spam_urls_file", none, "A file with links that spam has, one a line.")
	f.String(&o.Whitelist, "whitelist_domains_file", none, "A file with domains that are no spammers' whatever other lists say, one a line.")
}

func decodeDump(n *config.Node) (string, error) {
	text, ok := n.Scalar()
	switch {
	case !ok:
		return "", n.Wanted("false, or the name of a file")
	case text == "true":
		return "", n.Warnf("name the file, as in \"@LOG_PATH@/spam_dump.log\"; until then what is refused is only logged")
	case text == "false":
		return "", nil
	}
	return text, nil
}

// antispam is the module on one virtual host.
type antispam struct {
	options
	host    *modules.Host
	senders *senders
	dump    *dump // nil: there is none

	mu    sync.RWMutex
	lists *lists
	added map[string]bool // domains: true for those an operator has added, false for those taken away
}

func start(h *modules.Host, o options) error {
	m := &antispam{options: o, host: h, senders: newSenders(o.CacheSize), added: map[string]bool{}}
	var err error
	if m.lists, err = readLists(o); err != nil {
		return err
	}
	if o.Dump != "" {
		m.dump = newDump(o.Dump, h.Log)
		h.OnStop(m.dump.stop)
	}
	sm.Receive.Add(h, hooks.Normal, m.received)
	Marked.AddEverywhere(h, hooks.Normal, m.marked)
	h.Command(m.commands()...)
	return nil
}

// marked takes up what an operator says, or another node has found.
func (m *antispam) marked(_ context.Context, k Mark) {
	switch {
	case k.JID != "" && k.Spam:
		m.senders.add(k.JID)
	case k.JID != "":
		m.senders.drop(k.JID)
	case k.Domain != "":
		m.mu.Lock()
		defer m.mu.Unlock()
		m.added[k.Domain] = k.Spam
	}
}
