package config

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what the golden files should say")

// A sample has one option of every kind.
type sample struct {
	Flag     bool
	Count    int
	Limit    int
	Big      int64
	Ratio    float64
	Word     string
	Secret   string
	Choice   string
	Words    []string
	Choices  []string
	Span     time.Duration
	Short    time.Duration
	Forever  time.Duration
	Size     int64
	Map      map[string]string
	Pairs    []Pair
	Address  netip.Addr
	Networks []netip.Prefix
	Pattern  *regexp.Regexp
	File     string
	Dir      string
	URL      string
	Domain   string
	Service  []string
	Level    slog.Level
	Port     int
	Record   inner
	Records  []inner
	Named    map[string]inner
	Table    []Row[inner]
	Even     int
	Later    bool
	Vital    string
}

type inner struct {
	Name  string
	Count int
}

func (i *inner) Fields(f *Fields) {
	f.String(&i.Name, "name", "nobody", "A name.").Required()
	f.Int(&i.Count, "count", 1, "A number.").Must(AtLeast(1))
}

func (s *sample) Fields(f *Fields) {
	f.Bool(&s.Flag, "a_flag", false, "True or false.")
	f.Int(&s.Count, "a_count", 1, "A number.").Must(AtLeast(1), AtMost(100))
	f.IntOrInfinity(&s.Limit, "a_limit", 10, "A number without end.")
	f.Int64(&s.Big, "a_big", 0, "A large number.")
	f.Float(&s.Ratio, "a_ratio", 0.5, "A fraction.")
	f.String(&s.Word, "a_word", "at @HOST@", "A text.").Old("a_former_word")
	f.Secret(&s.Secret, "a_secret", "", "A secret.").Must(That("longer than three letters", func(v string) bool { return len(v) > 3 }))
	f.Enum(&s.Choice, "a_choice", "none", "A choice.", "none", "kill")
	f.Strings(&s.Words, "a_list", []string{"x"}, "Texts.")
	f.Enums(&s.Choices, "a_choices", nil, "Choices.", "flat", "pep")
	f.Duration(&s.Span, "a_span", time.Minute, "A time.").Must(AtLeast(time.Second))
	f.Duration(&s.Short, "a_millis", time.Second, "A time in milliseconds.").InMillis()
	f.Duration(&s.Forever, "a_forever", Infinity, "A time without end.").OrInfinity()
	f.Size(&s.Size, "a_size", 1<<20, "Bytes.")
	f.StringMap(&s.Map, "a_map", nil, "Names and texts.")
	f.Pairs(&s.Pairs, "a_pairs", nil, "Names and texts, in order.")
	f.IP(&s.Address, "an_address", netip.Addr{}, "An address.")
	f.Networks(&s.Networks, "a_network", nil, "Networks.")
	f.Regexp(&s.Pattern, "a_pattern", "", "A pattern.")
	f.File(&s.File, "a_file", "", "A file.")
	f.Dir(&s.Dir, "a_dir", "", "A directory.")
	f.URL(&s.URL, "a_url", "", "A page.")
	f.Domain(&s.Domain, "a_domain", "", "A domain.")
	f.Hosts(&s.Service, "a_service", []string{"service.@HOST@"}, "Domains.")
	f.LogLevel(&s.Level, "a_level", slog.LevelInfo, "A level.")
	f.Port(&s.Port, "a_port", 5222, "A port.")
	Sub(f, &s.Record, "a_record", "A record.")
	List(f, &s.Records, "some_records", "Records.")
	Map(f, &s.Named, "named_records", "Records by name.")
	Table(f, &s.Table, "a_table", "Records by name, in order.")
	Value(f, &s.Even, "an_even", "even number", 2, "An even number.", readEven)
	f.Bool(&s.Later, "a_later", false, "Comes later.").Unbuilt()
	f.String(&s.Vital, "a_vital", "", "Comes later too.").Fatal()
}

func readEven(n *Node) (int, error) {
	v, err := readInt(n, false, 0, 1000)
	if err != nil {
		return 0, err
	}
	if v%2 != 0 {
		return 0, errors.New("is odd")
	}
	if v > 100 {
		return int(v), n.Warnf("is rather large")
	}
	return int(v), nil
}

type listener struct {
	Port int
	TLS  bool
}

func (l *listener) Fields(f *Fields) {
	var module string
	f.String(&module, "module", "", "What speaks here.").Required()
	f.Port(&l.Port, "port", 0, "A port.").Required()
	f.Bool(&l.TLS, "tls", false, "TLS.")
}

type ping struct {
	Interval time.Duration
	Action   string
}

func (p *ping) Fields(f *Fields) {
	f.Duration(&p.Interval, "ping_interval", time.Minute, "How long.")
	f.Enum(&p.Action, "timeout_action", "none", "What.", "none", "kill")
}

// TestGolden reads the cases in testdata/*.txt. A case is a title, a YAML file,
// perhaps further files, a line of dashes, and what comes of it.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	total := 0
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		cases := strings.Split(string(text), "=== ")
		for i, c := range cases[1:] {
			total++
			title, body, _ := strings.Cut(c, "\n")
			t.Run(filepath.Base(name)+"/"+title, func(t *testing.T) {
				input, want, ok := strings.Cut(body, "--------\n")
				if !ok && !*update {
					t.Fatal("no line of dashes")
				}
				got := outcome(t, input)
				if *update {
					cases[i+1] = title + "\n" + input + "--------\n" + got + "\n"
					return
				}
				if diff := cmp.Diff(strings.TrimSpace(want), strings.TrimSpace(got)); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			})
		}
		if *update {
			if err := os.WriteFile(name, []byte(strings.TrimSpace(strings.Join(cases, "=== "))+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if total < 60 {
		t.Errorf("only %d cases", total)
	}
}

// outcome loads what input says in a directory of its own and returns
// everything that comes of it.
func outcome(t *testing.T, input string) string {
	t.Chdir(t.TempDir())
	opt := LoadOptions{Env: []string{}, Keywords: map[string]string{"VERSION": "26.07", "HOME": "/home/x"}}
	parts := strings.Split("+++ ejabberd.yml\n"+input, "+++ ")
	for _, part := range parts[1:] {
		name, text, _ := strings.Cut(part, "\n")
		if name == "environment" {
			opt.Env = append(opt.Env, strings.Split(strings.TrimSpace(text), "\n")...)
			continue
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := Load("ejabberd.yml", opt)
	if err != nil {
		return err.Error() + "\n"
	}
	values := decodeSample(tree)
	var b strings.Builder
	err = tree.Finish()
	for _, w := range tree.Warnings() {
		fmt.Fprintf(&b, "warning: %v\n", w)
	}
	if err != nil {
		return b.String() + err.Error() + "\n"
	}
	return b.String() + values
}

// decodeSample decodes like a server would and shows what differs from the
// defaults.
func decodeSample(tree *Tree) string {
	var b strings.Builder
	var global, def sample
	mistakes, _ := Decode(nil, &def)
	if mistakes != nil {
		return errors.Join(mistakes...).Error()
	}
	tree.Decode(&global)
	differences(&b, "", global, def)
	for _, host := range tree.Hosts() {
		var s sample
		tree.DecodeHost(host, &s)
		s.Service, s.Word = skip(s.Service, "service."+host), strings.TrimPrefix(s.Word, "at "+host)
		g := global
		g.Service, g.Word = skip(g.Service, "service.@HOST@"), strings.TrimPrefix(g.Word, "at @HOST@")
		differences(&b, host+" ", s, g)
		for _, m := range tree.Modules(host) {
			if m.Name == "mod_ping" {
				var p ping
				tree.DecodeModule(m, &p)
				fmt.Fprintf(&b, "%s mod_ping = %+v\n", host, p)
			}
		}
	}
	for _, l := range tree.Listeners() {
		if l.Name == "ejabberd_c2s" {
			var c listener
			tree.DecodeListener(l, &c)
			fmt.Fprintf(&b, "listener = %+v\n", c)
		}
	}
	return b.String()
}

func skip(list []string, one string) []string {
	if slices.Equal(list, []string{one}) {
		return nil
	}
	return list
}

// differences shows the fields of a that are not as in b.
func differences(out *strings.Builder, prefix string, a, b sample) {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range x.NumField() {
		v, w := x.Field(i).Interface(), y.Field(i).Interface()
		if rows, ok := v.([]Row[inner]); ok {
			list := make([]string, 0, len(rows))
			for _, r := range rows {
				list = append(list, fmt.Sprintf("%s:%v", r.Name, r.Value))
			}
			if len(list) > 0 {
				fmt.Fprintf(out, "%s%s = %v\n", prefix, x.Type().Field(i).Name, list)
			}
			continue
		}
		if fmt.Sprint(v) != fmt.Sprint(w) {
			fmt.Fprintf(out, "%s%s = %+v\n", prefix, x.Type().Field(i).Name, v)
		}
	}
}

func TestStockConfigurationLoads(t *testing.T) {
	tree, err := Load("testdata/ejabberd.yml.example", LoadOptions{Env: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	if got := tree.Hosts(); !slices.Equal(got, []string{"localhost"}) {
		t.Errorf("hosts %v", got)
	}
	var modules, listeners []string
	for _, m := range tree.Modules("localhost") {
		modules = append(modules, m.Name)
		tree.ClaimModule("mod_ping")
	}
	for _, l := range tree.Listeners() {
		listeners = append(listeners, l.Name)
	}
	if len(modules) != 38 || len(listeners) != 7 {
		t.Errorf("%d modules and %d listeners, want 38 and 7", len(modules), len(listeners))
	}
	put := tree.Modules("localhost")[slices.Index(modules, "mod_http_upload")].Node.Get("put_url")
	if got, _ := put.Scalar(); got != "https://localhost:5443/upload" {
		t.Errorf("put_url %q", got)
	}
	tree.ClaimOption("acl", "access_rules", "api_permissions", "shaper", "shaper_rules")
	if err := tree.Finish(); err != nil {
		t.Errorf("the stock file does not load: %v", err)
	}
	// loglevel, s2s_use_starttls, 7 listeners, 38 modules but one
	if got := len(tree.Warnings()); got != 2+7+37 {
		t.Errorf("%d warnings, want 46: %v", got, errors.Join(tree.Warnings()...))
	}
}
