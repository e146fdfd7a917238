package server

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
)

// configCommands are about ejabberd.yml and what belongs to it.
func (s *Server) configCommands() []admin.Command {
	return []admin.Command{
		admin.New("reload_config", "Read the configuration again and put it in force.", s.cmdReload).Tags("config").
			Long("After a mistake everything stays as it is, and the mistakes are named. What takes a restart is named too, with exit code 1; everything else is in force then."),
		admin.New("dump_config", "Write the configuration, as the server understands it, to a file.", s.cmdDump).Tags("config").
			Long("That is the files as they are now, with includes, macros and keywords put in and older options under their new names. The file must not exist; a relative name is one in the data directory. It holds the passwords that the configuration holds and can be read by the server's user only.").
			Example("", "/tmp/ejabberd.yml"),
		admin.New("list_certificates", "List the certificates, whom they are for, and when they run out.", s.cmdCertificates).Tags("acme").
			Long("used is true if clients are shown it. A certificate for several domains has a line for each.").
			Result("certificates", "certificate").
			Example("example.com\t/etc/ejabberd/example.pem\ttrue\t2027-01-31T12:00:00Z"),
		admin.New("update_sql", "Convert single-host tables to multi-host.", s.cmdUpdateSQL).Tags("sql").
			Long("This is not built: the command only says what to do instead."),
		admin.New("print_sql_schema", "Print the tables as SQL.", s.cmdPrintSchema).Tags("ejabberdctl", "sql").Note("added in 24.02").
			Long("This is not built: the command only says what to do instead."),
	}
}

func (s *Server) cmdReload(ctx context.Context, _ admin.NoArgs) (admin.Rescode, error) {
	left, err := s.reload(context.WithoutCancel(ctx)) // half a reload is worse than a late one
	switch {
	case err != nil:
		var lines []string
		for _, m := range Mistakes(err) {
			lines = append(lines, m.Error())
		}
		return admin.False, admin.Failed.With("nothing was changed:\n%s", strings.Join(lines, "\n"))
	case len(left) > 0:
		return admin.False, admin.Failed.With("the new configuration is in force, except that:\n%s", strings.Join(left, "\n"))
	}
	return admin.OK, nil
}

type outFile struct{ Out string }

// Fields declares the arguments.
func (a *outFile) Fields(f *config.Fields) {
	f.String(&a.Out, "out", "", "The file to make.").Must(config.Rule[string]{Says: "a name", Holds: func(s string) bool { return s != "" }})
}

func (s *Server) cmdDump(_ context.Context, in outFile) (admin.Rescode, error) {
	text, err := dumpConfiguration(s.opt)
	if err != nil {
		return admin.False, err
	}
	name := in.Out
	if !filepath.IsAbs(name) {
		name = filepath.Join(s.opt.Data, name)
	}
	// Whoever may call this may not therefore overwrite what the server can write.
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return admin.False, admin.Conflict.With("%s exists already; remove it or name another file", name)
	}
	if err != nil {
		return admin.False, admin.Failed.With("%v", err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return admin.False, fmt.Errorf("write the configuration: %w", err)
	}
	return admin.OK, nil
}

// certificate is a line of list_certificates.
type certificate struct {
	Domain  string    `json:"domain"`
	File    string    `json:"file"`
	Used    string    `json:"used"` // true or false, as text
	Expires time.Time `json:"expires"`
}

func (s *Server) cmdCertificates(context.Context, admin.NoArgs) ([]certificate, error) {
	set := s.certs.set.Load()
	files, err := expand(*s.certs.files.Load())
	if err != nil {
		return nil, err
	}
	var m pems
	for _, f := range files {
		if err := m.read(f); err != nil {
			return nil, err
		}
	}
	out := []certificate{}
	for _, p := range m.certs {
		if m.keyOf(p.cert) == nil {
			continue
		}
		for _, name := range namesOf(p.cert) {
			shown := set.byName[strings.ToLower(name)]
			out = append(out, certificate{name, p.file, fmt.Sprint(shown != nil && shown.Leaf.Equal(p.cert)), p.cert.NotAfter})
		}
	}
	if set.own != nil && set.own.Leaf != nil {
		own := filepath.Join(s.opt.Data, "self-signed.pem")
		for _, name := range namesOf(set.own.Leaf) {
			out = append(out, certificate{name, own, fmt.Sprint(set.find(name) == nil), set.own.Leaf.NotAfter})
		}
	}
	return out, nil
}

// namesOf is the domains that a certificate is for.
func namesOf(c *x509.Certificate) []string {
	if len(c.DNSNames) > 0 {
		return slices.Sorted(slices.Values(c.DNSNames))
	}
	return []string{c.Subject.CommonName}
}

func (s *Server) cmdUpdateSQL(context.Context, admin.NoArgs) (admin.Rescode, error) {
	return admin.False, admin.Failed.With("this server does not convert tables; have ejabberd's own update_sql do it before you move the database here, or give each virtual host a database of its own (host_config, sql_database)")
}

// sqlSchema is the arguments of print_sql_schema.
type sqlSchema struct{ Type, Version, MultiHost string }

// Fields declares the arguments.
func (a *sqlSchema) Fields(f *config.Fields) {
	f.String(&a.Type, "db_type", "", "pgsql or sqlite.")
	f.String(&a.Version, "db_version", "", "The version of the database.")
	f.String(&a.MultiHost, "multihost_schema", "", "true or false.")
}

func (s *Server) cmdPrintSchema(context.Context, sqlSchema) (admin.Rescode, error) {
	return admin.False, admin.Failed.With("this server makes its tables itself (update_sql_schema, which is the default); to see them, start it on an empty database and have that print them: pg_dump --schema-only, or sqlite3 FILE .schema")
}
