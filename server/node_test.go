package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNamesOfNodes(t *testing.T) {
	for name, ok := range map[string]bool{
		"gabberd@atlas": true, "n1": true, "a.b-c_d@e.example": true, "": true,
		"two words": false, "a:b": false, "a|b": false, "{a}": false, "ä": false, "a\n": false,
		strings.Repeat("n", maxNode): true, strings.Repeat("n", maxNode+1): false,
	} {
		if err := checkNode(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
	if got := (Options{Node: "n1"}).node(); got != "n1" {
		t.Errorf("a node that was named n1 is %q", got)
	}
	if got := (Options{}).node(); !strings.HasPrefix(got, "gabberd@") || len(got) == len("gabberd@") {
		t.Errorf("a node without a name is %q", got)
	}
}

// A data directory keeps its mark, so that a server knows its own past; another
// one has another.
func TestInstanceIsOfTheDataDirectory(t *testing.T) {
	dir := t.TempDir()
	first, err := instance(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := instance(dir)
	if err != nil || again != first {
		t.Errorf("the mark was %q and is %q, %v", first, again, err)
	}
	other, err := instance(t.TempDir())
	if err != nil || other == first {
		t.Errorf("two directories are %q, %v", other, err)
	}
	if st, err := os.Stat(filepath.Join(dir, "instance")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", st, err)
	}
	if _, err := instance(filepath.Join(dir, "missing")); err == nil {
		t.Error("a directory that is not there has a mark")
	}
}

func TestWhereSessionsLive(t *testing.T) {
	for name, c := range map[string]struct {
		yaml  string
		redis bool
		use   bool
		wrong string
	}{
		"memory by default":        {yaml: "", use: true},
		"redis":                    {yaml: "sm_db_type: redis", redis: true, use: true},
		"default_ram_db":           {yaml: "default_ram_db: redis", redis: true, use: true},
		"the nearer option wins":   {yaml: "default_ram_db: redis\nsm_db_type: mnesia", use: true},
		"without any cache":        {yaml: "sm_db_type: redis\nuse_cache: false", redis: true},
		"with a cache for itself":  {yaml: "sm_db_type: redis\nuse_cache: false\nsm_use_cache: true", redis: true, use: true},
		"per host":                 {yaml: "host_config:\n  localhost:\n    sm_db_type: redis", redis: true, use: true},
		"sql would hide sessions":  {yaml: "sm_db_type: sql", wrong: "t.yml:2:13: sm_db_type: sql is not built"},
		"no such place":            {yaml: "sm_db_type: etcd", wrong: `"etcd" is not one of mnesia, redis`},
		"a port is no port":        {yaml: "see_other_host: a:0", wrong: `"0" is not a port`},
		"a redis that has no name": {yaml: "redis_server: 'unix:'", wrong: "the path of the socket after unix:"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "t.yml")
			if err := os.WriteFile(file, []byte("hosts: [localhost]\n"+c.yaml+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			conf, err := readConfiguration(Options{Config: file, Data: t.TempDir()})
			if c.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), c.wrong) {
					t.Fatalf("the mistake is %v, wanted %q", err, c.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			h := conf.hosts[0]
			if got := h.session.cache(h.options.Cache).Use; h.session.inRedis() != c.redis || got != c.use {
				t.Errorf("in Redis %v, with a cache %v", h.session.inRedis(), got)
			}
		})
	}
}
