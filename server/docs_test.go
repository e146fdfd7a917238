package server_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/modules/all"
	"github.com/gabberd/gabberd/server"
)

const renew = "run `go run ./server/gendocs` at the top of the repository"

func documents(t *testing.T) map[string][]byte {
	t.Helper()
	docs, err := server.Documents(all.Modules)
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

func TestGeneratedDocumentsAreUpToDate(t *testing.T) {
	docs := documents(t)
	for _, name := range slices.Sorted(maps.Keys(docs)) {
		want := docs[name]
		got, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(name)))
		switch {
		case os.IsNotExist(err):
			t.Errorf("%s is missing: %s", name, renew)
		case err != nil:
			t.Error(err)
		case !bytes.Equal(got, want):
			t.Errorf("%s is stale: %s", name, renew)
		}
	}
	pages, err := fs.Glob(os.DirFS(".."), "docs/modules/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range pages {
		if docs[name] == nil {
			t.Errorf("%s is about a module that is gone: %s", name, renew)
		}
	}
}

// The description of the project is XML that directories read (XEP-0453): partial
// where a module says so.
func TestDescriptionOfTheProject(t *testing.T) {
	var doap struct {
		Project struct {
			Name       string `xml:"http://usefulinc.com/ns/doap# name"`
			Implements []struct {
				XEP struct {
					URL struct {
						At string `xml:"http://www.w3.org/1999/02/22-rdf-syntax-ns# resource,attr"`
					} `xml:"xep"`
					Status string `xml:"status"`
				} `xml:"https://linkmauve.fr/ns/xmpp-doap# SupportedXep"`
			} `xml:"implements"`
		} `xml:"http://usefulinc.com/ns/doap# Project"`
	}
	if err := xml.Unmarshal(documents(t)["gabberd.doap"], &doap); err != nil {
		t.Fatal(err)
	}
	status := map[string]string{}
	for _, i := range doap.Project.Implements {
		status[i.XEP.URL.At] = i.XEP.Status
	}
	if doap.Project.Name != "gabberd" || status["https://xmpp.org/extensions/xep-0199.html"] != "complete" || status["https://xmpp.org/extensions/xep-0133.html"] != "partial" {
		t.Errorf("got %q with %v", doap.Project.Name, status)
	}
}

func TestDocumentsAreTheSameEveryTime(t *testing.T) {
	first := documents(t)
	backwards := slices.Clone(all.Modules)
	slices.Reverse(backwards)
	second, err := server.Documents(backwards)
	if err != nil {
		t.Fatal(err)
	}
	for name := range first {
		if !bytes.Equal(first[name], second[name]) {
			t.Errorf("%s depends on the order of modules, or on chance", name)
		}
	}
}

func TestDocumentsHoldTogether(t *testing.T) {
	docs := documents(t)
	for _, m := range all.Modules {
		page := string(docs["docs/modules/"+m.Name+".md"])
		for _, o := range m.Options {
			if !strings.Contains(page, "| `"+o.Name+"` |") {
				t.Errorf("the page of %s lacks the option %s", m.Name, o.Name)
			}
		}
		for _, c := range m.Commands {
			if !strings.Contains(string(docs["docs/commands.md"]), "### "+c.Name()) {
				t.Errorf("docs/commands.md lacks %s of %s", c.Name(), m.Name)
			}
		}
		for _, declared := range m.XEPs {
			n, _, _ := strings.Cut(declared, " ")
			for _, list := range []string{"docs/xeps.md", "gabberd.doap"} {
				if !strings.Contains(string(docs[list]), "xep-"+n+".html") {
					t.Errorf("%s lacks %s of %s", list, n, m.Name)
				}
			}
		}
	}
	for _, want := range []string{"`negotiation_timeout`", "`acl`", "`auth_method`", "`sql_type`", "`starttls`", "`cluster_nodes`", "`mod_muc`"} {
		if !strings.Contains(string(docs["docs/options.md"]), want) {
			t.Errorf("docs/options.md lacks %s", want)
		}
	}
	if !strings.Contains(string(docs["docs/hooks.md"]), "| `user_send_packet` | fold |") {
		t.Error("docs/hooks.md lacks user_send_packet")
	}
	for name, text := range docs {
		if strings.HasSuffix(name, ".json") {
			if !json.Valid(text) {
				t.Errorf("%s is no JSON", name)
			}
			continue
		}
		checkLinks(t, docs, name)
	}
	var schema struct {
		Properties map[string]json.RawMessage
		Defs       map[string]json.RawMessage `json:"$defs"`
	}
	if err := json.Unmarshal(docs["docs/ejabberd.schema.json"], &schema); err != nil {
		t.Fatal(err)
	}
	if schema.Properties["loglevel"] == nil || !bytes.Contains(schema.Defs["modules"], []byte(`"mod_ping"`)) || !bytes.Contains(schema.Defs["hosts"], []byte(`"#/$defs/modules"`)) {
		t.Error("the schema lacks options, or modules, or hosts")
	}
}

var link = regexp.MustCompile(`\]\(([^)#:]*)(#[^)]*)?\)`)

// checkLinks looks for what links within docs/ point at.
func checkLinks(t *testing.T, docs map[string][]byte, name string) {
	t.Helper()
	for _, m := range link.FindAllStringSubmatch(string(docs[name]), -1) {
		target := name
		if m[1] != "" {
			target = filepath.ToSlash(filepath.Join(filepath.Dir(name), m[1]))
		}
		if docs[target] == nil {
			t.Errorf("%s links to %s, which is not there", name, target)
			continue
		}
		if m[2] == "" {
			continue
		}
		heading := "### " + strings.Replace(m[2][1:], "-v", " v", 1) + "\n"
		if !bytes.Contains(docs[target], []byte(heading)) {
			t.Errorf("%s links to %s of %s, which is not there", name, m[2], target)
		}
	}
}

// Scripts that call ejabberdctl find what they call.
func TestThereAreEnoughCommands(t *testing.T) {
	names := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^### (\w+)`).FindAllStringSubmatch(string(documents(t)["docs/commands.md"]), -1) {
		names[m[1]] = true
	}
	if len(names) < 90 {
		t.Errorf("there are %d commands, want at least 90", len(names))
	}
}
