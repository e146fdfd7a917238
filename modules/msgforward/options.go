package msgforward

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"time"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/modules/msgforward/target"
)

// defaultName is the destination whose options stand beside `destinations`.
const defaultName = "default"

// options are what can be set in ejabberd.yml: one destination, or several with
// names.
type options struct {
	destination
	Destinations []config.Row[named]
}

// Fields declares the options.
func (o *options) Fields(f *config.Fields) {
	o.url(f)
	o.destination.fields(f)
	config.Table(f, &o.Destinations, "destinations", "Destinations with a name each, which have the options above. The one without a name is called `default`.").
		Must(config.That("names of letters, digits, - and _, none of them `default`", goodNames))
	f.Whole(func() error {
		switch {
		case o.URL != "":
			return o.check()
		case len(o.Destinations) == 0:
			return errors.New("say where to forward messages to: url, or destinations")
		}
		return nil
	})
}

var goodName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func goodNames(rows []config.Row[named]) bool {
	return !slices.ContainsFunc(rows, func(r config.Row[named]) bool { return !goodName.MatchString(r.Name) || r.Name == defaultName })
}

// named is a destination in the list.
type named struct{ destination }

// Fields declares the options.
func (n *named) Fields(f *config.Fields) {
	n.url(f).Required()
	n.fields(f)
	f.Whole(n.check)
}

// A destination is where messages go, which of them, and how.
type destination struct {
	URL         string
	What        string
	Types       []string
	From, To    acl.Access
	Format      string
	Headers     map[string]string
	Secret      string
	OldSecret   string
	Timeout     time.Duration
	Concurrency int
	Batch       int
	Order       string
	Retry       retry
	MaxQueue    int
	Remember    time.Duration
	KeepDead    time.Duration
	TLSVerify   bool
	CAFile      string
	CertFile    string
}

// retry is when a message is tried again.
type retry struct {
	First   time.Duration
	Factor  float64
	Ceiling time.Duration
	Jitter  bool
	GiveUp  time.Duration
}

// Fields declares the options.
func (r *retry) Fields(f *config.Fields) {
	f.Duration(&r.First, "first", time.Second, "How long to wait after the first failure.").Must(config.Between(10*time.Millisecond, time.Hour))
	f.Float(&r.Factor, "factor", 2, "By how much the wait grows with each failure.").Must(config.Between(1.0, 100.0))
	f.Duration(&r.Ceiling, "ceiling", 10*time.Minute, "The longest wait.").Must(config.Between(10*time.Millisecond, 24*time.Hour))
	f.Bool(&r.Jitter, "jitter", true, "Wait for a random part of that time, so that what failed together is not tried together.")
	f.Duration(&r.GiveUp, "give_up", 72*time.Hour, "How long after it was stored a message that cannot be delivered goes to the dead letters.").OrInfinity().Must(config.AtLeast(time.Second))
}

func (d *destination) url(f *config.Fields) *config.Field[string] {
	return config.Value(f, &d.URL, "url", "URL", "", "Where messages are posted to: http or https, or the URL of a message queue.", readURL)
}

// readURL says what is wrong with a URL without showing it: there may be a
// password in it.
func readURL(n *config.Node) (string, error) {
	text, ok := n.Scalar()
	if !ok {
		return "", n.Errorf("expected a URL, not %s", n.Kind())
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", n.Errorf("is not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		if err := target.Check(text); err != nil {
			return "", n.Errorf("must begin with http:// or https://, or name a message queue: %v", err)
		}
	case u.Host == "" || u.Hostname() == "":
		return "", n.Errorf("has no host")
	case u.Fragment != "":
		return "", n.Errorf("has a #, which no server is told of")
	}
	return text, nil
}

// fields declares all but the URL.
func (d *destination) fields(f *config.Fields) {
	f.Enum(&d.What, "forward", "all", "Which messages: those stored in the `archive`, for `offline` users, or `all` of them, each once.", "archive", "offline", "all")
	f.Enums(&d.Types, "types", []string{"chat", "groupchat", "normal"}, "The types of messages.", "chat", "groupchat", "normal").Must(config.Some[string]())
	acl.AccessField(f, &d.From, "access_from", "all", "Whose messages: an access rule that the sender must pass.")
	acl.AccessField(f, &d.To, "access_to", "all", "Whose messages: an access rule that the recipient must pass.")
	f.Enum(&d.Format, "format", formatJSON, "What is posted: `json`; `form` fields as mod_offline_http_post has them, with the headers of mod_post_log; the stanza as `xml` with these headers, as mod_post_log itself; the form of `mongooseim`'s HTTP pusher.", formatJSON, formatForm, formatXML, formatMongooseIM)
	f.StringMap(&d.Headers, "headers", nil, "Headers that go with every request.").Must(config.That("headers of HTTP", goodHeaders))
	f.Secret(&d.Secret, "secret", "", "Sign requests as Standard Webhooks says: `whsec_` and base64, or a text of at least 16 bytes.").Must(config.That("whsec_ and base64, or at least 16 bytes", goodSecret))
	f.Secret(&d.OldSecret, "old_secret", "", "Also sign with this one, while receivers go over to a new secret.").Must(config.That("whsec_ and base64, or at least 16 bytes", goodSecret))
	f.Duration(&d.Timeout, "timeout", 10*time.Second, "How long a request may take.").Must(config.Between(10*time.Millisecond, 10*time.Minute))
	f.Int(&d.Concurrency, "concurrency", 8, "How many requests may be under way at once.").Must(config.Between(1, 1000))
	f.Int(&d.Batch, "batch", 1, "Up to how many messages go into one request. If it is more than 1, the body is always a list: `{\"messages\": […]}`. For format json only.").Must(config.Between(1, 1000))
	f.Enum(&d.Order, "order", "conversation", "Whether messages of a conversation are delivered in their order: a failing message then holds back those behind it.", "conversation", "none")
	config.Sub(f, &d.Retry, "retry", "When a failing message is tried again.")
	f.Int(&d.MaxQueue, "max_queue", 1_000_000, "How many messages may wait. Beyond that the oldest go to the dead letters.").OrInfinity().Must(config.AtLeast(1))
	f.Duration(&d.Remember, "remember", 15*time.Minute, "How long it is remembered that a message was delivered, so that it is not forwarded again when it is stored in another place.").Must(config.AtLeast(time.Second))
	f.Duration(&d.KeepDead, "keep_dead", 7*24*time.Hour, "How long dead letters are kept.").OrInfinity().Must(config.AtLeast(time.Second))
	f.Bool(&d.TLSVerify, "tls_verify", true, "Check the server's certificate.")
	config.Value(f, &d.CAFile, "cafile", "file", "", "A file with the certificate authorities to trust, instead of the system's.", readCAFile)
	config.Value(f, &d.CertFile, "certfile", "file", "", "A file with a certificate and its key, to show to the server.", readCertFile)
}

var headerName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

func goodHeaders(m map[string]string) bool {
	for k, v := range m {
		if !headerName.MatchString(k) || regexp.MustCompile(`[\x00-\x08\x0a-\x1f\x7f]`).MatchString(v) {
			return false
		}
		switch http.CanonicalHeaderKey(k) {
		case "Content-Length", "Transfer-Encoding", "Idempotency-Key", "Webhook-Id", "Webhook-Timestamp", "Webhook-Signature":
			return false
		}
	}
	return true
}

func readCAFile(n *config.Node) (string, error) {
	text, ok := n.Scalar()
	if !ok {
		return "", n.Wanted("the name of a file")
	}
	_, err := authorities(text)
	return text, err
}

func readCertFile(n *config.Node) (string, error) {
	text, ok := n.Scalar()
	if !ok {
		return "", n.Wanted("the name of a file")
	}
	_, err := tls.LoadX509KeyPair(text, text)
	return text, err
}

func authorities(file string) (*x509.CertPool, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%s has no certificate in it", file)
	}
	return pool, nil
}

// tls is how the destination's server is to be met.
func (d *destination) tls() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: !d.TLSVerify}
	if d.CAFile != "" {
		pool, err := authorities(d.CAFile)
		if err != nil {
			return nil, fmt.Errorf("cafile: %w", err)
		}
		conf.RootCAs = pool
	}
	if d.CertFile != "" {
		c, err := tls.LoadX509KeyPair(d.CertFile, d.CertFile)
		if err != nil {
			return nil, fmt.Errorf("certfile: %w", err)
		}
		conf.Certificates = []tls.Certificate{c}
	}
	return conf, nil
}

// check is what a single option does not show.
func (d *destination) check() error {
	if d.Batch > 1 && d.Format != formatJSON && d.http() {
		return fmt.Errorf("batch: more than one message in a request needs format json, not %s", d.Format)
	}
	if d.OldSecret != "" && d.Secret == "" {
		return errors.New("old_secret: there must be a secret that takes its place")
	}
	if d.Retry.Ceiling < d.Retry.First {
		return errors.New("retry: the ceiling is below the first wait")
	}
	return nil
}

// http reports whether the destination is a web server and no message queue.
func (d *destination) http() bool {
	u, err := url.Parse(d.URL)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https")
}

// all are the destinations by name.
func (o *options) all() map[string]*destination {
	out := map[string]*destination{}
	if o.URL != "" {
		out[defaultName] = &o.destination
	}
	for i := range o.Destinations {
		r := &o.Destinations[i]
		out[r.Name] = &r.Value.destination
	}
	return out
}
