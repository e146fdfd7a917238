package server

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/c2s"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/register"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/redis"
	"github.com/gabberd/gabberd/xmpp"
)

// configuration is everything that ejabberd.yml says, read and checked.
type configuration struct {
	files     []string
	warnings  []error
	global    global
	redis     redis.Options
	perms     acl.Permissions
	register  register.Options
	hosts     []*hostConfig
	listeners []*listenConfig
}

// global is the options that concern the server as a whole.
type global struct {
	LogLevel           slog.Level
	NegotiationTimeout time.Duration
	Certfiles          []string
	CAFile             string
	SeeOtherHost       string
	rules              acl.Options
}

// Fields declares the options.
func (g *global) Fields(f *config.Fields) {
	f.LogLevel(&g.LogLevel, "loglevel", slog.LevelInfo, "How much is logged.")
	f.Duration(&g.NegotiationTimeout, "negotiation_timeout", 120*time.Second, "How long a client may take from connecting to having a session.").Must(config.AtLeast(time.Second))
	f.Strings(&g.Certfiles, "certfiles", nil, "Files in PEM form with certificates and their keys; `*` stands for any name. They are read again when they change.").Example("- /etc/letsencrypt/live/example.org/*.pem")
	config.Value(f, &g.SeeOtherHost, "see_other_host", "HOST or HOST:PORT", "", "Where clients are sent when this server stops, for nodes of a cluster: another node, or the name that leads to all of them. Without it they are told that the server goes down, and choose for themselves.", readOtherHost).Example("xmpp.example.org:5222")
	f.File(&g.CAFile, "ca_file", "", "Certificates of authorities, in PEM form.").DefaultText("those of the system")
}

func readOtherHost(n *config.Node) (string, error) {
	text, ok := n.Scalar()
	if !ok {
		return "", n.Wanted("a host, or HOST:PORT")
	}
	host := text
	if h, port, err := net.SplitHostPort(text); err == nil {
		if p, err := strconv.Atoi(port); err != nil || p < 1 || p > 65535 {
			return "", n.Errorf("%q is not a port", port)
		}
		host = h
	}
	if ip, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil && ip.IsValid() {
		return text, nil
	}
	if _, err := xmpp.NewJID("", host, ""); err != nil || host == "" {
		return "", n.Wanted("a host, or HOST:PORT")
	}
	return text, nil
}

// usable is the option certfiles once more: it looks into the files, so that
// what is wrong with them has its line, also for who only checks.
type usable struct{}

// Fields declares the option.
func (usable) Fields(f *config.Fields) {
	config.Value(f, new([]string), "certfiles", "list of files", nil, "Files with certificates.", func(n *config.Node) ([]string, error) {
		items := n.List()
		if n.Kind() == config.KindScalar {
			items = []*config.Node{n}
		}
		var patterns []string
		for _, item := range items {
			text, ok := item.Scalar()
			if !ok {
				return nil, nil // which was said already
			}
			if _, err := expand([]string{text}); err != nil {
				return nil, item.Errorf("%v", err)
			}
			patterns = append(patterns, text)
		}
		if _, err := readCertificates(patterns); err != nil {
			return nil, n.Errorf("%v", err)
		}
		return patterns, nil
	})
}

// hostConfig is what a virtual host is told.
type hostConfig struct {
	domain  string
	options hostOptions
	session sessionOptions
	rules   acl.Options
	sql     storage.SQL
	auth    auth.Options
	modules []modules.Prepared // in the order of their start
}

// hostOptions is the options of a virtual host that no part of its own has.
type hostOptions struct {
	Language        string
	Conflict        string
	ReplacedTimeout time.Duration
	DefaultDB       string
	Cache           local.Cache
}

// Fields declares the options.
func (o *hostOptions) Fields(f *config.Fields) {
	f.String(&o.Language, "language", "en", "The language of the server's own texts.")
	f.Enum(&o.Conflict, "resource_conflict", "acceptnew", "What happens when a client binds a resource that is taken: the old session ends, the new one is refused, or it gets another resource.", "setresource", "closeold", "closenew", "acceptnew")
	f.Duration(&o.ReplacedTimeout, "replaced_connection_timeout", time.Second, "How long a new session waits for the one it replaces.").OrInfinity()
	f.Enum(&o.DefaultDB, "default_db", "mnesia", "Where modules keep their data that do not say otherwise; `mnesia` is the embedded database.", "mnesia", "sql")
	f.Bool(&o.Cache.Use, "use_cache", true, "Keep in memory what was read from a database.")
	f.IntOrInfinity(&o.Cache.Size, "cache_size", 1000, "How many entries a cache holds.").Must(config.AtLeast(1))
	f.Bool(&o.Cache.Missed, "cache_missed", true, "Also remember what was not found.")
	f.Duration(&o.Cache.LifeTime, "cache_life_time", time.Hour, "How long an entry is kept.").OrInfinity()
}

// tree reads the file and whatever it includes, and checks nothing.
func (opt Options) tree() (*config.Tree, error) {
	file, err := filepath.Abs(opt.Config)
	if err != nil {
		return nil, err
	}
	home, _ := os.UserHomeDir() // only a keyword; empty where there is none
	return config.Load(opt.Config, config.LoadOptions{Keywords: map[string]string{
		"HOME": home, "CONFIG_PATH": filepath.Dir(file), "DATABASE_PATH": opt.Data, "LOG_PATH": opt.Data,
		"SEMVER": Version + ".0", "VERSION": Version,
	}})
}

// readConfiguration reads the file and checks all of it. The error joins every
// mistake.
func readConfiguration(opt Options) (*configuration, error) {
	t, err := opt.tree()
	if err != nil {
		return nil, err
	}
	c := &configuration{files: t.Files()}
	t.Decode(&c.global, &c.global.rules, &c.redis, &c.perms, &c.register)
	t.Decode(usable{})
	for _, domain := range t.Hosts() {
		c.hosts = append(c.hosts, readHost(t, domain, opt.Modules))
	}
	c.readListeners(t)
	c.undefined(t)
	if err := t.Finish(); err != nil {
		return nil, err
	}
	c.warnings = t.Warnings()
	return c, nil
}

func readHost(t *config.Tree, domain string, known []modules.Module) *hostConfig {
	h := &hostConfig{domain: domain}
	t.DecodeHost(domain, &h.options, &h.session, &h.rules, &h.sql, &h.auth)
	o := &h.options
	h.auth.Inherit(o.DefaultDB, o.Cache.Use, o.Cache.Size, o.Cache.LifeTime)
	var list []modules.Prepared
	for _, n := range t.Modules(domain) {
		for _, m := range known {
			if m.Name == n.Name {
				list = append(list, m.Prepare(func(d config.Declarer) { t.DecodeModule(n, d) }))
			}
		}
	}
	ordered, errs := modules.Order(list)
	for _, err := range errs {
		if n := t.Modules(domain); len(n) > 0 {
			t.Report([]error{n[0].Key.Errorf("%v", err)}, nil)
		}
	}
	h.modules = ordered
	return h
}

// listenConfig is an entry of listen.
type listenConfig struct {
	at     *config.Node
	module string
	place  listenPlace
	// One of these, depending on the module.
	c2s     c2s.Options
	metrics metricsOptions
}

// options are those that only listeners of this module have.
func (l *listenConfig) options() any {
	if l.module == metricsModule {
		return l.metrics
	}
	return l.c2s
}

func (c *configuration) readListeners(t *config.Tree) {
	for _, n := range t.Listeners() {
		l := &listenConfig{at: n.Key, module: n.Name}
		switch n.Name {
		case "ejabberd_c2s":
			t.DecodeListener(n, &l.place, &l.c2s)
		case metricsModule:
			t.DecodeListener(n, &l.place, &l.metrics)
		default:
			continue
		}
		c.listeners = append(c.listeners, l)
	}
}

// undefined warns of rules that name what does not exist.
func (c *configuration) undefined(t *config.Tree) {
	for _, h := range c.hosts {
		report(t, h.rules.Undefined())
	}
	report(t, c.perms.Undefined(&c.global.rules))
	for _, l := range c.listeners {
		if l.module == metricsModule {
			report(t, l.metrics.Access.Undefined(&c.global.rules))
			continue
		}
		report(t, l.c2s.Access.Undefined(&c.global.rules))
		report(t, l.c2s.Shaper.Undefined(&c.global.rules))
	}
}

// report adds warnings that were joined into one error, each once.
func report(t *config.Tree, err error) {
	if err == nil {
		return
	}
	for _, w := range split(err) {
		// Without a place it is about a default, which nobody wrote.
		var m *config.Mistake
		if errors.As(w, &m) && m.File != "" {
			t.Report(nil, []error{w})
		}
	}
}

func split(err error) []error {
	if err == nil {
		return nil
	}
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range j.Unwrap() {
			out = append(out, split(e)...)
		}
		return out
	}
	return []error{err}
}

// warn logs what was accepted but should not stay as it is, each sentence once.
func (c *configuration) warn(log *slog.Logger) {
	seen := map[string]bool{}
	for _, w := range c.warnings {
		if !seen[w.Error()] {
			seen[w.Error()] = true
			log.Warn(w.Error())
		}
	}
}

// Check reads the configuration and returns every mistake, joined, and every
// warning.
func Check(opt Options) (warnings []error, err error) {
	c, err := readConfiguration(opt)
	if err != nil {
		return nil, err
	}
	return c.warnings, nil
}

// Mistakes is the single mistakes in an error of Run or Check.
func Mistakes(err error) []error { return split(err) }
