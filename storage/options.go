package storage

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/gabberd/gabberd/config"
)

// SQL says which database a virtual host has: ejabberd's options sql_*.
type SQL struct {
	Type               string // sql_type; empty is the embedded database
	Server             string // sql_server: a name, an address or unix:path
	Port               int    // 0 is PostgreSQL's
	Database           string // for sqlite a file
	Username           string
	Password           string
	PoolSize           int // connections; 0 is 10, on SQLite 4 for reading
	ConnectTimeout     time.Duration
	QueryTimeout       time.Duration
	KeepaliveInterval  time.Duration // 0 is never
	StartInterval      time.Duration // how long to wait at start for a database that is away
	SSL                bool
	SSLVerify          bool
	CAFile             string
	CertFile           string // certificate and key
	PreparedStatements bool
	Flags              []string // for MySQL only; accepted and without effect
	ODBCDriver         string   // for MS SQL only; accepted and without effect
	MultiHost          Flavour
	UpdateSchema       bool
	UpdateTimeout      time.Duration
}

// Flavour is the option sql_schema_multihost, which may be left out: then the
// database decides, and a new one is multi-host.
type Flavour uint8

// The values of sql_schema_multihost.
const (
	AsFound    Flavour = iota // not set
	MultiHost                 // true
	SingleHost                // false
)

// Fields declares the options. They may differ between hosts (host_config) but
// for sql_schema_multihost and update_sql_schema.
func (o *SQL) Fields(f *config.Fields) {
	f.Enum(&o.Type, "sql_type", "", "Which database: sqlite, a file, or pgsql, a PostgreSQL server. The others that ejabberd knows are refused at start.",
		"sqlite", "pgsql", "mysql", "mssql", "odbc").
		Must(config.That("sqlite or pgsql, the others are not built (ejabberd's command export2sql and pgloader can move the data)",
			func(typ string) bool { return typ == "" || typ == "sqlite" || typ == "pgsql" })).
		DefaultText("the embedded database gabberd.db")
	f.String(&o.Server, "sql_server", "localhost", "The name or address of the database server, or `unix:` and the path of its socket.").Example("sql_server: db.example.org")
	f.Port(&o.Port, "sql_port", 0, "The port of the database server.").DefaultText("5432")
	f.String(&o.Database, "sql_database", "", "The name of the database; for sqlite a file, in the data directory unless the path is absolute. `@HOST@` stands for the virtual host.").DefaultText("ejabberd; gabberd.db for sqlite")
	f.String(&o.Username, "sql_username", "ejabberd", "The user of the database.")
	f.Secret(&o.Password, "sql_password", "", "The password of that user.")
	f.Int(&o.PoolSize, "sql_pool_size", 0, "How many connections there may be; for sqlite how many that read, besides the one that writes.").Must(config.AtLeast(1)).DefaultText("10; 4 for sqlite")
	f.Duration(&o.ConnectTimeout, "sql_connect_timeout", 5*time.Second, "How long a connection may take to come about.").Must(positive)
	f.Duration(&o.QueryTimeout, "sql_query_timeout", time.Minute, "How long a query or a transaction may take.").Must(positive)
	f.Duration(&o.KeepaliveInterval, "sql_keepalive_interval", 0, "How often a connection to PostgreSQL that nobody uses is used.").DefaultText("never")
	f.Duration(&o.StartInterval, "sql_start_interval", 30*time.Second, "How long the start waits for a PostgreSQL server that is away. Later it is tried again every second.")
	f.Bool(&o.SSL, "sql_ssl", false, "Use TLS to the PostgreSQL server.")
	f.Bool(&o.SSLVerify, "sql_ssl_verify", false, "Check the server's certificate.")
	f.File(&o.CAFile, "sql_ssl_cafile", "", "Certificates (PEM) of the authorities to check it against.").DefaultText("the system's")
	f.File(&o.CertFile, "sql_ssl_certfile", "", "Our certificate and its key (PEM), if the server wants one.")
	f.Bool(&o.PreparedStatements, "sql_prepared_statements", true, "Use prepared statements on PostgreSQL. To be turned off behind a pooler that cannot do them.")
	f.Enums(&o.Flags, "sql_flags", nil, "Switches for MySQL; without effect.", "mysql_alternative_upsert")
	f.String(&o.ODBCDriver, "sql_odbc_driver", "libtdsodbc.so", "A driver for MS SQL; without effect.")
	config.Value(f, &o.MultiHost, "sql_schema_multihost", "true | false", AsFound,
		"Whether a new database gets multi-host tables. Where there are tables, it must agree with them.", readFlavour).
		Old("new_sql_schema").DefaultText("as the database is; true for a new one")
	f.Bool(&o.UpdateSchema, "update_sql_schema", true, "Make tables and bring them up to date at start.")
	f.Duration(&o.UpdateTimeout, "update_sql_schema_timeout", 5*time.Minute, "How long that may take.").OrInfinity().Must(positive)
}

var positive = config.Rule[time.Duration]{Says: "longer than nothing", Holds: func(d time.Duration) bool { return d > 0 }}

func readFlavour(n *config.Node) (Flavour, error) {
	switch text, _ := n.Scalar(); text {
	case "true":
		return MultiHost, nil
	case "false":
		return SingleHost, nil
	}
	return AsFound, n.Wanted("true or false")
}

// Defaults are the values of options that are not set.
func Defaults() SQL {
	return SQL{
		Server:             "localhost",
		Username:           "ejabberd",
		ConnectTimeout:     5 * time.Second,
		QueryTimeout:       time.Minute,
		StartInterval:      30 * time.Second,
		PreparedStatements: true,
		ODBCDriver:         "libtdsodbc.so",
		UpdateSchema:       true,
		UpdateTimeout:      5 * time.Minute,
	}
}

// embedded is the file of the database that needs no configuration.
const embedded = "gabberd.db"

// place is what makes two hosts share a database.
type place struct {
	kind   string // sqlite or pgsql
	server string
	port   int
	name   string
	user   string
}

// place finds which database domain has; dir is the data directory.
func (o SQL) place(dir, domain string) (place, error) {
	name := strings.ReplaceAll(o.Database, "@HOST@", domain)
	switch o.Type {
	case "", "sqlite":
		if o.Type == "" || name == "" {
			name = embedded
		}
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		return place{kind: "sqlite", name: name}, nil
	case "pgsql":
		p := place{kind: "pgsql", server: o.Server, port: o.Port, name: name, user: o.Username}
		if p.port == 0 {
			p.port = 5432
		}
		if p.name == "" {
			p.name = "ejabberd"
		}
		return p, nil
	case "mysql", "mssql", "odbc":
		return place{}, fmt.Errorf("sql_type %s is not supported: use pgsql or sqlite (ejabberd's command export2sql and pgloader can move the data)", o.Type)
	default:
		return place{}, fmt.Errorf("sql_type %q is unknown: use pgsql or sqlite", o.Type)
	}
}

func (p place) String() string {
	if p.kind == "sqlite" {
		return "SQLite database " + p.name
	}
	server := p.server
	if !strings.HasPrefix(server, "unix:") {
		server = fmt.Sprintf("%s:%d", server, p.port)
	}
	return fmt.Sprintf("PostgreSQL database %s at %s", p.name, server)
}

// check refuses values that no database can be opened with.
func (o SQL) check() error {
	switch {
	case o.PoolSize < 0:
		return fmt.Errorf("sql_pool_size is %d: it must be at least 1", o.PoolSize)
	case o.Port < 0 || o.Port > 65535:
		return fmt.Errorf("sql_port is %d: it must be between 1 and 65535", o.Port)
	case o.ConnectTimeout <= 0 || o.QueryTimeout <= 0:
		return fmt.Errorf("sql_connect_timeout and sql_query_timeout must be longer than nothing")
	}
	return nil
}
