package redis

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gabberd/gabberd/config"
)

// Options says where Redis is: ejabberd's options redis_*, and redis_prefix.
// They concern the server as a whole.
type Options struct {
	Server         string // redis_server: a host, unix:path, or a URL
	Port           int
	DB             int
	Password       string
	PoolSize       int           // connections for commands; of a cluster, to each node
	ConnectTimeout time.Duration // how long one connection may take to come about
	QueueType      string        // ram or file; without effect
	Prefix         string        // what all our keys and channels begin with

	CAFile string // PEM, to check Redis's certificate; empty is the system's. Not declared here: it is ca_file
}

// Defaults are the values of options that are not set.
func Defaults() Options {
	return Options{Server: "localhost", Port: 6379, PoolSize: 10, ConnectTimeout: time.Second, QueueType: "ram", Prefix: "gabberd"}
}

// Fields declares the options.
func (o *Options) Fields(f *config.Fields) {
	def := Defaults()
	config.Value(f, &o.Server, "redis_server", "text", def.Server,
		"Where Redis is: a host, or `unix:` and the path of its socket; or redis://HOST:PORT, rediss://HOST:PORT (TLS), sentinel://MASTER@HOST:PORT,HOST:PORT, cluster://HOST:PORT,HOST:PORT; rediss+sentinel:// and rediss+cluster:// with TLS. USER@ before the host is for Redis with users.",
		o.readServer).Example("redis_server: cluster://10.0.0.1:6379,10.0.0.2:6379")
	f.Port(&o.Port, "redis_port", def.Port, "The port of Redis, where redis_server does not name one. Of a Sentinel it is 26379.")
	f.Int(&o.DB, "redis_db", 0, "The number of the Redis database. A Redis Cluster has only 0.").Must(config.AtLeast(0),
		config.That("0 with a Redis Cluster, which has no other", func(db int) bool {
			t, err := parseServer(o.Server, o.Port)
			return db == 0 || err != nil || t.kind != cluster
		}))
	f.Secret(&o.Password, "redis_password", "", "The password for Redis.")
	f.Int(&o.PoolSize, "redis_pool_size", def.PoolSize, "How many connections to Redis, or to each node of a Redis Cluster, there may be for commands.").Must(config.Between(1, 10000))
	f.Duration(&o.ConnectTimeout, "redis_connect_timeout", def.ConnectTimeout, "How long connecting to Redis may take.").
		Must(config.Rule[time.Duration]{Says: "longer than nothing", Holds: func(d time.Duration) bool { return d > 0 }})
	f.Enum(&o.QueueType, "redis_queue_type", def.QueueType, "Where callers wait for Redis. Accepted and without effect: nobody waits longer than 2 seconds, and what waits is in memory and bounded.", "ram", "file")
	f.String(&o.Prefix, "redis_prefix", def.Prefix, "What the names of all keys and channels in Redis begin with. Servers that share it are one cluster.").
		Must(config.That("letters, digits, and any of . _ -", validPrefix))
}

// validPrefix keeps away what would split a key or make a hash tag of the
// prefix, which would put everything on one node of a Redis Cluster.
func validPrefix(s string) bool {
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r)) {
			return false
		}
	}
	return s != ""
}

func (o *Options) readServer(n *config.Node) (string, error) {
	text, ok := n.Scalar()
	if !ok {
		return "", n.Wanted("a host, unix:PATH or a URL of Redis")
	}
	t, err := parseServer(text, 6379)
	switch {
	case err != nil:
		return "", n.Errorf("%v", err)
	case t.kind == cluster && o.DB != 0: // options come in the order of the file
		return "", n.Errorf("is a Redis Cluster, which has no database but 0: remove redis_db")
	}
	return text, nil
}

// kind is what answers at an address.
type kind uint8

const (
	single kind = iota
	sentinel
	cluster
)

// target is a redis_server that has been understood.
type target struct {
	kind   kind
	addrs  []string // host:port, or a path
	unix   bool
	tls    bool
	user   string
	master string // the name Sentinel knows it by
}

// String is for messages to people.
func (t target) String() string {
	switch at := strings.Join(t.addrs, ", "); t.kind {
	case sentinel:
		return fmt.Sprintf("%s by the Sentinels %s", t.master, at)
	case cluster:
		return "the cluster at " + at
	default:
		return at
	}
}

// parseServer understands a redis_server. Its errors show nothing of a password
// that was written where none belongs.
func parseServer(text string, port int) (target, error) {
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		path = strings.TrimPrefix(path, "//")
		if path == "" {
			return target{}, errors.New("lacks the path of the socket after unix: in it")
		}
		return target{addrs: []string{path}, unix: true}, nil
	}
	scheme, rest, isURL := strings.Cut(text, "://")
	if !isURL {
		host := strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")
		switch {
		case text == "":
			return target{}, errors.New("is empty: write the host of Redis, unix:PATH or a URL")
		case strings.ContainsAny(host, " /@?#[]"), strings.Contains(host, ":") && net.ParseIP(host) == nil:
			return target{}, errors.New("is not a host: write the host alone, with its port in redis_port, or a URL such as redis://HOST:PORT")
		}
		return target{addrs: []string{net.JoinHostPort(host, strconv.Itoa(port))}}, nil
	}
	t := target{}
	switch scheme {
	case "redis":
	case "rediss":
		t.tls = true
	case "sentinel", "redis+sentinel":
		t.kind = sentinel
	case "rediss+sentinel":
		t.kind, t.tls = sentinel, true
	case "cluster", "redis+cluster":
		t.kind = cluster
	case "rediss+cluster":
		t.kind, t.tls = cluster, true
	default:
		return target{}, errors.New("must begin with redis://, rediss://, sentinel://, cluster://, rediss+sentinel://, rediss+cluster:// or unix:, or be a host")
	}
	return t, t.readRest(rest, port)
}

// readRest reads what follows :// in a URL.
func (t *target) readRest(rest string, port int) error {
	rest = strings.TrimSuffix(rest, "/")
	if strings.ContainsAny(rest, "/?#") {
		return errors.New("must end after the host and port: the number of the database goes into redis_db")
	}
	name := ""
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		name, rest = rest[:at], rest[at+1:]
		if strings.Contains(name, ":") {
			return errors.New("holds a password, which would be shown: write it into redis_password")
		}
		if plain, err := url.PathUnescape(name); err == nil {
			name = plain
		}
	}
	switch {
	case t.kind == sentinel && name == "":
		return errors.New("needs the name of the master that the Sentinels watch: sentinel://MASTER@HOST:PORT")
	case t.kind == sentinel:
		t.master, port = name, 26379
	default:
		t.user = name
	}
	for _, addr := range strings.Split(rest, ",") {
		full, err := address(strings.TrimSpace(addr), port)
		if err != nil {
			return err
		}
		t.addrs = append(t.addrs, full)
	}
	if t.kind == single && len(t.addrs) > 1 {
		return errors.New("names more than one host: write cluster:// for a Redis Cluster, or sentinel://MASTER@HOST:PORT,HOST:PORT for Sentinels")
	}
	return nil
}

// address completes HOST or HOST:PORT.
func address(text string, port int) (string, error) {
	host, given, err := net.SplitHostPort(text)
	if err != nil {
		host, given = strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"), strconv.Itoa(port)
	}
	n, err := strconv.Atoi(given)
	switch {
	case host == "" || strings.ContainsAny(host, " []") || strings.Contains(host, ":") && net.ParseIP(host) == nil:
		return "", errors.New("needs a host, or hosts with commas between them, each as HOST:PORT")
	case err != nil || n < 1 || n > 65535:
		return "", errors.New("has a port that is not a number between 1 and 65535")
	}
	return net.JoinHostPort(host, given), nil
}

// tlsConfig is how to check who answers; nil without TLS.
func (o Options) tlsConfig(t target) (*tls.Config, error) {
	if !t.tls {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAFile == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read ca_file: %w", err)
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca_file %s holds no certificate in PEM form", o.CAFile)
	}
	return cfg, nil
}
