package server

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/modules/all"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// prepareFiles makes a configuration file and a data directory for one test.
func prepareFiles(t *testing.T, yaml string) Options {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "ejabberd.yml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return Options{Config: file, Data: filepath.Join(dir, "data"), Log: slog.New(slog.DiscardHandler)}
}

const oneListener = `
hosts: [localhost]
listen:
  - {port: %d, ip: 127.0.0.1, module: ejabberd_c2s}
`

// Every bad start must end in a sentence that names what is wrong and what to
// do.
func TestBadStartsAreNamed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	taken := ln.Addr().(*net.TCPAddr).Port
	for _, tt := range []struct {
		name, yaml string
		prepare    func(t *testing.T, o *Options)
		want       []string
	}{
		{"port in use", fmt.Sprintf(oneListener, taken), nil, []string{"ejabberd.yml:4:", fmt.Sprint(taken), "in use", "ss -ltnp"}},
		{"address of another machine", "hosts: [localhost]\nlisten:\n  - {port: 0, ip: 192.0.2.1, module: ejabberd_c2s}\n", nil, []string{"ejabberd.yml:3:", "192.0.2.1 is not an address of this machine"}},
		{"no such file", "", func(t *testing.T, o *Options) { o.Config += ".gone" }, []string{"ejabberd.yml.gone", "no such file"}},
		{"not YAML", "hosts: [localhost\nlisten: {", nil, []string{"ejabberd.yml:"}},
		{"unknown option", "hosts: [localhost]\nloglevle: info\n", nil, []string{"ejabberd.yml:2:1: loglevle", "did you mean \"loglevel\""}},
		{"unbuilt backend", "hosts: [localhost]\nauth_method: [ldap]\n", nil, []string{"ejabberd.yml:2:", "ldap is not built yet"}},
		{"unbuilt session store", "hosts: [localhost]\nsm_db_type: sql\n", nil, []string{"ejabberd.yml:2:", "sql is not built"}},
		{"redis away", "hosts: [localhost]\nsm_db_type: redis\nredis_server: 127.0.0.1\nredis_port: 1\n", nil, []string{"localhost has its sessions in Redis", "127.0.0.1:1", "start it, or correct redis_server and redis_port"}},
		{"unbuilt database", "hosts: [localhost]\nsql_type: mysql\n", nil, []string{"mysql"}},
		{"missing certificate", "hosts: [localhost]\ncertfiles: [/does/not/exist.pem]\n", nil, []string{"ejabberd.yml:2:13: certfiles", "/does/not/exist.pem"}},
		{"not a certificate", "hosts: [localhost]\ncertfiles: [/etc/hostname]\n", nil, []string{"ejabberd.yml:2:12: certfiles", "/etc/hostname"}},
		{"data directory is a file", "hosts: [localhost]\n", func(t *testing.T, o *Options) { write(t, o.Data, nil) }, []string{"data directory", "--data"}},
		{"not a data directory", "hosts: [localhost]\n", func(t *testing.T, o *Options) {
			if err := os.MkdirAll(o.Data, 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(o.Data, "version"), []byte("Debian 12\n"))
		}, []string{"does not hold a number", "really gabberd's data directory?"}},
		{"a map for a certificate", "hosts: [localhost]\ncertfiles: [{a: b}]\n", nil, []string{"ejabberd.yml:2:13: certfiles"}},
		{"newer data directory", "hosts: [localhost]\n", func(t *testing.T, o *Options) {
			if err := os.MkdirAll(o.Data, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(o.Data, "version"), []byte("99\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, []string{"newer gabberd", "version 99"}},
		{"data directory in use", "hosts: [localhost]\n", func(t *testing.T, o *Options) {
			unlock, err := lockData(o.Data)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(unlock)
		}, []string{"another gabberd uses the data directory", "--data"}},
		{"database away", "hosts: [localhost]\ndefault_db: sql\nsql_type: pgsql\nsql_server: 127.0.0.1\nsql_port: 1\nsql_start_interval: 1\n", nil, []string{"127.0.0.1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := prepareFiles(t, tt.yaml)
			if tt.prepare != nil {
				tt.prepare(t, &o)
			}
			err := Run(context.Background(), o)
			if err == nil {
				t.Fatal("the server has started")
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q lacks %q", err, w)
				}
			}
			if len(strings.Split(err.Error(), "\n")) > 1 {
				t.Errorf("more than one sentence:\n%v", err)
			}
		})
	}
}

func TestAllMistakesAtOnce(t *testing.T) {
	o := prepareFiles(t, "hosts: [localhost]\nloglevle: info\nlanguage: [en]\nmodules:\n  mod_pnig: {}\n")
	var out, errOut bytes.Buffer
	if code := run([]string{"--data", o.Data, "check", o.Config}, nil, &out, &errOut); code != exitError {
		t.Errorf("exit code %d", code)
	}
	for _, w := range []string{":2:1: loglevle", ":3:11: language", ":5:3: modules.mod_pnig"} {
		if !strings.Contains(errOut.String(), w) {
			t.Errorf("%q is not named:\n%s", w, errOut.String())
		}
	}
	if _, err := os.Stat(o.Data); !os.IsNotExist(err) {
		t.Error("check has made a data directory")
	}
}

func TestCommandLine(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("GABBERD_CONFIG", "")
	t.Setenv("GABBERD_DATA", "")
	write(t, "good.yml", []byte("hosts: [localhost]\n"))
	write(t, "bad.yml", []byte("hosts: [localhost]\nloglevle: info\n"))
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"version", exitOK, "26.07"},
		{"help", exitOK, "gabberd check"},
		{"-h", exitOK, "gabberd check"},
		{"nonsense", exitUsage, `there is no "nonsense"`},
		{"start", exitUsage, "leave the word away"},
		{"stop", exitUsage, "gabberdctl stop"},
		{"version 5", exitUsage, `"5" is one word too many`},
		{"check good.yml bad.yml", exitUsage, `"bad.yml" is one word too many`},
		{"--nonsense", exitUsage, "--config"},
		{"--config", exitUsage, "--config"},
		{"check /does/not/exist.yml", exitError, "/does/not/exist.yml"},
		{"check", exitError, "ejabberd.yml: no such file or directory; name the file"},
		{"check good.yml", exitOK, "good.yml: no mistakes"},
		{"check --config good.yml", exitOK, "good.yml: no mistakes"},
		{"--config good.yml check", exitOK, "good.yml: no mistakes"},
		{"--config=good.yml check bad.yml", exitError, "bad.yml:2:1: loglevle"},
		{"--config bad.yml", exitError, "gabberd: bad.yml:2:1: loglevle"},
		{"--config gone.yml", exitError, "gone.yml: no such file"},
	} {
		var out bytes.Buffer
		if code := run(strings.Fields(tt.args), nil, &out, &out); code != tt.code || !strings.Contains(out.String(), tt.want) {
			t.Errorf("%s: exit code %d, %q", tt.args, code, out.String())
		}
	}
	if _, err := os.Stat("data"); !os.IsNotExist(err) {
		t.Error("a data directory was made for nothing")
	}
	t.Setenv("GABBERD_CONFIG", "bad.yml")
	var out bytes.Buffer
	if code := run([]string{"check"}, nil, &out, &out); code != exitError || !strings.Contains(out.String(), "bad.yml:2:1") {
		t.Errorf("GABBERD_CONFIG: exit code %d, %q", code, out.String())
	}
}

// Data lies beside the configuration that was found.
func TestDataGoesWithTheConfiguration(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, tt := range []struct{ data, config, want string }{
		{"mine", "", "mine"},
		{"mine", systemConfig, "mine"},
		{"", systemConfig, systemData},
	} {
		if got := defaultData(tt.data, tt.config); got != tt.want {
			t.Errorf("--data %q --config %q: %s, not %s", tt.data, tt.config, got, tt.want)
		}
	}
	write(t, localConfig, []byte("hosts: [localhost]\n"))
	if got := defaultData("", ""); got != localData {
		t.Errorf("with ./%s: %s", localConfig, got)
	}
	if err := os.Mkdir(localData, 0o700); err != nil {
		t.Fatal(err)
	}
	if got := defaultData("", "other.yml"); got != localData {
		t.Errorf("with ./%s: %s", localData, got)
	}
	if got := defaultData("", systemConfig); got != systemData {
		t.Errorf("a folder that happens to be called %s is taken for the system's: %s", localData, got)
	}
}

// A configuration that ejabberd ships loads as it is: every warning has a place
// and says what is not built.
func TestStockConfigurationLoads(t *testing.T) {
	warnings, err := Check(Options{Config: "../config/testdata/ejabberd.yml.example", Data: t.TempDir(), Modules: all.Modules})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings {
		if !regexp.MustCompile(`ejabberd\.yml\.example:\d+:\d+: .*(is not built yet|there is no ACL)`).MatchString(w.Error()) {
			t.Errorf("warning without a place or a reason: %v", w)
		}
	}
}

// The configuration of a new server must be one without mistakes or warnings.
func TestFirstConfigurationIsClean(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ejabberd.yml")
	written, err := writeFirst(file)
	if err != nil || !written {
		t.Fatal(written, err)
	}
	if again, err := writeFirst(file); again || err != nil {
		t.Errorf("an existing file was written: %v, %v", again, err)
	}
	warnings, err := Check(Options{Config: file, Data: t.TempDir(), Modules: all.Modules})
	if err != nil || len(warnings) > 0 {
		t.Errorf("%v, %v", warnings, err)
	}
}
