package e2e

import (
	"fmt"
	"maps"
	"testing"

	"gopkg.in/yaml.v3"
)

// options are top-level options of ejabberd.yml.
type options map[string]any

// parseOptions reads what a play's [Server] says.
func parseOptions(t *testing.T, text string) options {
	t.Helper()
	var o map[string]any
	if err := yaml.Unmarshal([]byte(text), &o); err != nil {
		t.Fatalf("configuration: %v\n%s", err, text)
	}
	return o
}

// with returns o with the options of over put in their place. The first listener of
// over says how o's first listener differs.
func (o options) with(over options) options {
	out := maps.Clone(o)
	for k, v := range over {
		if k == "listen" {
			v = listenWith(out[k], v)
		}
		out[k] = v
	}
	return out
}

func listenWith(base, over any) any {
	b, _ := base.([]any)
	v, _ := over.([]any)
	if len(b) == 0 || len(v) == 0 {
		return over
	}
	first := options{}
	for _, from := range []any{b[0], v[0]} {
		switch m := from.(type) {
		case options:
			maps.Copy(first, m)
		case map[string]any:
			maps.Copy(first, m)
		}
	}
	return append([]any{first}, append(b[1:len(b):len(b)], v[1:]...)...)
}

// text is o as a file.
func (o options) text(t *testing.T) string {
	t.Helper()
	b, err := yaml.Marshal(map[string]any(o))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// base is the configuration that a play's own options come on top of: one host,
// one listener for clients, and no modules.
func base(port int) options {
	return options{
		"loglevel": "warning",
		"hosts":    []any{"localhost"},
		"listen": []any{options{
			"port":     port,
			"ip":       "127.0.0.1",
			"module":   "ejabberd_c2s",
			"starttls": true,
		}},
		"modules": options{},
	}
}

// hostOnly is o without what belongs to no host.
func (o options) hostOnly() options {
	out := maps.Clone(o)
	for _, top := range []string{"loglevel", "hosts", "listen"} {
		delete(out, top)
	}
	return out
}

// loopback is an address on this machine.
func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
