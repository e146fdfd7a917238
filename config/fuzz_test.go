package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzLoad: whatever is in the files, Load and all that decodes from it come to
// an end without a panic.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, c := range strings.Split(string(text), "=== ")[1:] {
			_, body, _ := strings.Cut(c, "\n")
			input, _, _ := strings.Cut(body, "--------\n")
			main, more, _ := strings.Cut(input, "+++ more.yml\n")
			f.Add(main, more)
		}
	}
	stock, err := os.ReadFile("testdata/ejabberd.yml.example")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(stock), "")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, main, more string) {
		t.Chdir(dir)
		for name, text := range map[string]string{"ejabberd.yml": main, "more.yml": more} {
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		tree, err := Load("ejabberd.yml", LoadOptions{Env: []string{}})
		if err != nil {
			if err.Error() == "" {
				t.Error("an error says nothing")
			}
			return
		}
		decodeSample(tree)
		err = tree.Finish()
		if len(tree.Hosts()) == 0 && err == nil {
			t.Error("no hosts and no mistake")
		}
	})
}

// FuzzDecodeJSON: whatever the body of a call is, decoding it ends without a
// panic, and no mistake shows a secret.
func FuzzDecodeJSON(f *testing.F) {
	f.Add(`{"a_flag": true, "a_secret": "x", "some_records": [{"name": "a"}]}`)
	f.Add(`{"a_map": {"a": 1}, "a_list": null}`)
	f.Add(`[1`)
	f.Fuzz(func(t *testing.T, body string) {
		var s sample
		if err := DecodeJSON([]byte(body), &s); err != nil && err.Error() == "" {
			t.Error("an error says nothing")
		}
	})
}
