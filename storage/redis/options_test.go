package redis

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gabberd/gabberd/config"
)

// decode reads options as of a file.
func decode(t *testing.T, text string) (Options, error) {
	t.Helper()
	n, err := config.Parse("ejabberd.yml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var o Options
	mistakes, warnings := config.Decode(n, &o)
	return o, errors.Join(append(mistakes, warnings...)...)
}

func TestOptions(t *testing.T) {
	got, err := decode(t, "{}")
	if err != nil || got != Defaults() {
		t.Errorf("defaults: %+v, %v", got, err)
	}
	got, err = decode(t, `
redis_server: 10.0.0.1
redis_port: 6380
redis_db: 3
redis_password: secret
redis_pool_size: 5
redis_connect_timeout: 3 seconds
redis_queue_type: file
redis_prefix: chat.example-2
`)
	want := Options{Server: "10.0.0.1", Port: 6380, DB: 3, Password: "secret", PoolSize: 5, ConnectTimeout: 3 * time.Second, QueueType: "file", Prefix: "chat.example-2"}
	if err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestMistakes(t *testing.T) {
	for text, says := range map[string]string{
		"redis_server: ''":                                  "is empty",
		"redis_server: [a, b]":                              "expected a host",
		"redis_server: localhost:6379":                      "with its port in redis_port",
		"redis_server: two words":                           "is not a host",
		"redis_server: 'unix:'":                             "lacks the path of the socket",
		"redis_server: http://localhost":                    "must begin with redis://",
		"redis_server: redis://":                            "needs a host",
		"redis_server: redis://localhost/3":                 "goes into redis_db",
		"redis_server: redis://localhost?db=3":              "goes into redis_db",
		"redis_server: redis://:hush@localhost":             "write it into redis_password",
		"redis_server: redis://me:hush@localhost":           "write it into redis_password",
		"redis_server: redis://localhost:0":                 "not a number between 1 and 65535",
		"redis_server: redis://localhost:port":              "not a number between 1 and 65535",
		"redis_server: redis://a,b":                         "write cluster://",
		"redis_server: cluster://a,,b":                      "needs a host",
		"redis_server: 'cluster://a b'":                     "needs a host",
		"redis_server: sentinel://a,b":                      "needs the name of the master",
		"redis_server: sentinel://m@":                       "needs a host",
		"redis_db: -1":                                      "at least 0",
		"{redis_server: 'cluster://a', redis_db: 1}":        "0 with a Redis Cluster",
		"{redis_db: 1, redis_server: 'rediss+cluster://a'}": "remove redis_db",
		"redis_port: 70000":                                 "65535",
		"redis_pool_size: 0":                                "between 1 and",
		"redis_connect_timeout: 0":                          "longer than nothing",
		"redis_queue_type: disk":                            "ram, file",
		"redis_prefix: ''":                                  "letters, digits",
		"redis_prefix: a:b":                                 "letters, digits",
		"redis_prefix: '{a}'":                               "letters, digits",
		"redis_password: [hush]":                            "expected a text",
	} {
		_, err := decode(t, text)
		if err == nil {
			t.Errorf("%s was accepted", text)
			continue
		}
		if got := err.Error(); !strings.Contains(got, says) || !strings.Contains(got, "ejabberd.yml:1:") {
			t.Errorf("%s: got %q, want something with %q and its place", text, got, says)
		}
		if strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: the password is shown: %q", text, err)
		}
	}
}

func TestServers(t *testing.T) {
	for text, want := range map[string]target{
		"localhost":                      {addrs: []string{"localhost:1234"}},
		"10.0.0.1":                       {addrs: []string{"10.0.0.1:1234"}},
		"::1":                            {addrs: []string{"[::1]:1234"}},
		"[::1]":                          {addrs: []string{"[::1]:1234"}},
		"unix:/run/redis.sock":           {addrs: []string{"/run/redis.sock"}, unix: true},
		"unix:///run/redis.sock":         {addrs: []string{"/run/redis.sock"}, unix: true},
		"redis://a":                      {addrs: []string{"a:1234"}},
		"redis://a:5/":                   {addrs: []string{"a:5"}},
		"redis://[::1]:5":                {addrs: []string{"[::1]:5"}},
		"redis://[::1]":                  {addrs: []string{"[::1]:1234"}},
		"redis://me@a":                   {addrs: []string{"a:1234"}, user: "me"},
		"redis://m%40e@a":                {addrs: []string{"a:1234"}, user: "m@e"},
		"rediss://a:5":                   {addrs: []string{"a:5"}, tls: true},
		"cluster://a:5, b":               {kind: cluster, addrs: []string{"a:5", "b:1234"}},
		"redis+cluster://a":              {kind: cluster, addrs: []string{"a:1234"}},
		"rediss+cluster://me@a:5,b:6":    {kind: cluster, addrs: []string{"a:5", "b:6"}, tls: true, user: "me"},
		"sentinel://primary@a,b:5":       {kind: sentinel, addrs: []string{"a:26379", "b:5"}, master: "primary"},
		"redis+sentinel://primary@a":     {kind: sentinel, addrs: []string{"a:26379"}, master: "primary"},
		"rediss+sentinel://my primary@a": {kind: sentinel, addrs: []string{"a:26379"}, tls: true, master: "my primary"},
	} {
		got, err := parseServer(text, 1234)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(target{})); err != nil || diff != "" {
			t.Errorf("%s: %v %s", text, err, diff)
		}
	}
}

func TestVersions(t *testing.T) {
	for _, c := range []struct{ info, want, says string }{
		{"redis_version:3.2.0", "Redis 3.2.0", ""},
		{"redis_version:3.2", "Redis 3.2", ""},
		{"# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n", "Redis 7.0.15", ""},
		{"redis_version:10.0.1", "Redis 10.0.1", ""},
		{"redis_version:4", "Redis 4", ""},
		{"redis_version:3.10.0", "Redis 3.10.0", ""},
		{"redis_version:8.0-rc1", "Redis 8.0-rc1", ""},
		{"redis_version:255.255.255", "Redis 255.255.255", ""},
		{"redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.1\r\n", "Valkey 8.1.1", ""},
		{"valkey_version:10.0.0", "Valkey 10.0.0", ""},
		{"redis_version:3.0.7", "", "is version 3.0.7, which is too old: install version 3.2 or newer"},
		{"redis_version:2.8.19", "", "too old"},
		{"redis_version:3", "", "too old"},
		{"redis_version:3.1.99", "", "too old"},
		{"redis_version:", "", "not understood"},
		{"", "", "not understood"},
		{"redis_version:seven", "", "not understood"},
		{"redis_version:7.-1", "", "not understood"},
		{"redis_version:7.0.15\r\nredis_mode:sentinel", "", "is a Sentinel"},
	} {
		got, err := parseInfo(c.info)
		switch {
		case c.says == "" && (err != nil || got.String() != c.want):
			t.Errorf("%q: got %v, %v, want %s", c.info, got, err, c.want)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%q: got %v, want something with %q", c.info, err, c.says)
		}
	}
	v, err := parseInfo("redis_version:7.2.4\r\nvalkey_version:8.1.1")
	if err != nil || !v.atLeast(7, 2) || !v.atLeast(6, 9) || v.atLeast(7, 3) || v.atLeast(8, 0) || v.atLeast(10, 0) {
		t.Errorf("a Valkey understands the commands of Redis 7.2: %+v, %v", v, err)
	}
}

func TestSlot(t *testing.T) {
	for key, want := range map[string]int{ // as CLUSTER KEYSLOT says
		"": 0, "foo": 12182, "{foo}": 12182, "a{foo}b{bar}": 12182, "123456789": 12739, "foo{}{bar}": 8363, "foo{{bar}}zap": 4015, "foo{bar": 15278,
	} {
		if got := slot(key); got != want {
			t.Errorf("%q is in %d, want %d", key, got, want)
		}
	}
}
