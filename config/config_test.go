package config_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gabberd/gabberd/config"
)

// node parses YAML.
func node(t *testing.T, text string) *config.Node {
	t.Helper()
	n, err := config.Parse("t.yml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

type service struct {
	Hosts []string
	Wait  time.Duration
	Max   int
	Given bool
}

func (s *service) Fields(f *config.Fields) {
	f.Hosts(&s.Hosts, "hosts", []string{"conference.@HOST@"}, "Domains.")
	f.Duration(&s.Wait, "wait", 90*time.Second, "How long.").OrInfinity().Must(config.AtLeast(time.Second)).Example("2 minutes")
	f.IntOrInfinity(&s.Max, "max", config.Unlimited, "How many.").Given(&s.Given).Old("maximum")
}

func TestDefaultsOfAHost(t *testing.T) {
	n, err := node(t, "max: 5").ForHost("example.org")
	if err != nil {
		t.Fatal(err)
	}
	var s service
	if bad, _ := config.Decode(n, &s); bad != nil {
		t.Fatal(bad)
	}
	if len(s.Hosts) != 1 || s.Hosts[0] != "conference.example.org" || s.Max != 5 || !s.Given {
		t.Errorf("got %+v", s)
	}
}

func TestDefaultsOfNothing(t *testing.T) {
	s := service{Given: true}
	if bad, warned := config.Decode(nil, &s); bad != nil || warned != nil {
		t.Fatal(bad, warned)
	}
	if s.Wait != 90*time.Second || s.Max != config.Unlimited || s.Given {
		t.Errorf("got %+v", s)
	}
}

func TestEmptyNodeOfAHost(t *testing.T) {
	n, err := (*config.Node)(nil).ForHost("a.example")
	if err != nil {
		t.Fatal(err)
	}
	var s service
	if bad, _ := config.Decode(n, &s); bad != nil || s.Hosts[0] != "conference.a.example" {
		t.Errorf("%v %v", bad, s.Hosts)
	}
}

func TestWrongValuesKeepTheDefault(t *testing.T) {
	var s service
	bad, _ := config.Decode(node(t, "wait: 1 ms\nmax: many"), &s)
	if len(bad) != 2 || s.Wait != 90*time.Second || s.Max != config.Unlimited {
		t.Errorf("%v, %+v", bad, s)
	}
	var m *config.Mistake
	if !errors.As(bad[0], &m) || m.File != "t.yml" || m.Line != 1 || m.Column != 7 || m.Path != "wait" {
		t.Errorf("%+v", m)
	}
}

func TestTopicsKnowEjabberd(t *testing.T) {
	var s service
	bad, warned := config.Decode(node(t, "history_size: 5\nacess: all\naccess: none").ModuleTopic("mod_muc"), &s)
	if len(bad) != 2 || !strings.Contains(bad[0].Error(), `did you mean "access"?`) || !strings.Contains(bad[1].Error(), "not built yet") {
		t.Errorf("mistakes %v", bad)
	}
	if len(warned) != 1 || !strings.Contains(warned[0].Error(), "history_size") {
		t.Errorf("warnings %v", warned)
	}
	bad, warned = config.Decode(node(t, "backlog: 5\nstart_tls: true").ListenerTopic("ejabberd_c2s"), &s)
	if len(bad) != 1 || !strings.Contains(bad[0].Error(), `did you mean "starttls"?`) || len(warned) != 1 {
		t.Errorf("mistakes %v, warnings %v", bad, warned)
	}
}

func TestDescribe(t *testing.T) {
	infos := config.Describe(new(service))
	if len(infos) != 3 {
		t.Fatalf("%d fields", len(infos))
	}
	wait := infos[1]
	if wait.Default != "90 seconds" || wait.Type != "time | infinity" || len(wait.Rules) != 1 || wait.Rules[0] != "at least 1s" || wait.Example != "2 minutes" {
		t.Errorf("%+v", wait)
	}
	if infos[0].Default != `["conference.@HOST@"]` && infos[0].Default != "[conference.@HOST@]" {
		t.Errorf("default %s", infos[0].Default)
	}
	if infos[2].Default != "infinity" || infos[2].Old[0] != "maximum" {
		t.Errorf("%+v", infos[2])
	}
}

type twice struct{ a, b bool }

func (x *twice) Fields(f *config.Fields) {
	f.Bool(&x.a, "a", false, "One.")
	f.Bool(&x.b, "a", false, "The same again.")
}

func TestDeclaringTwicePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	config.Describe(new(twice))
}

type endless struct{ word string }

func (x *endless) Fields(f *config.Fields) { f.String(&x.word, "word", "", "A word.").OrInfinity() }

func TestInfiniteTextPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	config.Describe(new(endless))
}

func TestEqual(t *testing.T) {
	tests := []struct {
		a, b string
		want bool
	}{
		{"a: 1\nb: [x, y]", "{a: '1', b: [x, y]}", true},
		{"a: 1", "a: 2", false},
		{"a: [1]", "a: [1, 2]", false},
		{"a: 1\nb: 2", "b: 2\na: 1", false},
		{"a: [1]", "a: {b: 1}", false},
		{"a: {b: {c: [1]}}", "a: {b: {c: [2]}}", false},
	}
	for _, tt := range tests {
		if got := node(t, tt.a).Equal(node(t, tt.b)); got != tt.want {
			t.Errorf("%q and %q: %v", tt.a, tt.b, got)
		}
	}
	if !(*config.Node)(nil).Equal(nil) {
		t.Error("nothing is not like nothing")
	}
}

func TestParseDuration(t *testing.T) {
	good := map[string]time.Duration{
		"0": 0, "5": 5 * time.Second, "5s": 5 * time.Second, "5 sec": 5 * time.Second, "5 SECONDS": 5 * time.Second,
		"1 minute": time.Minute, "3 min": 3 * time.Minute, "2 hours": 2 * time.Hour, "1d": 24 * time.Hour, "7 days": 7 * 24 * time.Hour,
		"250 ms": 250 * time.Millisecond, "1h30m": 90 * time.Minute, " 1 hour 5 minutes ": 65 * time.Minute,
	}
	for s, want := range good {
		if got, err := config.ParseDuration(s, time.Second); err != nil || got != want {
			t.Errorf("%q: %v, %v, want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "x", "s", "-1", "1.5h", "5 x", "5 5", "99999999999999999999", "9999999999999 days", "1h-1m", "infinity", "5s x"} {
		if got, err := config.ParseDuration(s, time.Second); err == nil {
			t.Errorf("%q: %v, want an error", s, got)
		}
	}
}

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{"65536": 65536, "64 KB": 65536, "10MB": 10 << 20, "1 GiB": 1 << 30, "2k": 2048, "5 bytes": 5} {
		if got, err := config.ParseSize(s); err != nil || got != want {
			t.Errorf("%q: %v, %v, want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "MB", "1.5 MB", "-1", "9999999999 TB", "5 zb"} {
		if got, err := config.ParseSize(s); err == nil {
			t.Errorf("%q: %v, want an error", s, got)
		}
	}
}

func TestLoadOfWhatIsNotThere(t *testing.T) {
	for _, name := range []string{t.TempDir() + "/no.yml", t.TempDir(), "ejabberd.cfg"} {
		if _, err := config.Load(name, config.LoadOptions{}); err == nil {
			t.Errorf("%s was loaded", name)
		} else if !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
}
