package admin_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/admin"
)

func descriptions() []admin.Description {
	var out []admin.Description
	for _, c := range commands() {
		out = append(out, c.About())
	}
	return out
}

func shuffled() []admin.Description {
	list := append(descriptions(), descriptions()[0]) // one twice, as of two hosts
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

func TestMarkdownHasEveryCommandOnce(t *testing.T) {
	text := string(admin.Markdown(descriptions()))
	for _, d := range descriptions() {
		title := "\n### " + d.Name + "\n"
		if d.Version == 1 {
			title = "\n### " + d.Name + " v1\n"
		}
		if d.Version == 2 {
			title = "\n### " + d.Name + " v2\n"
		}
		if n := strings.Count(text, title); n != 1 {
			t.Errorf("%s v%d is there %d times", d.Name, d.Version, n)
		}
		for _, a := range d.Args {
			if !strings.Contains(text, "| `"+a.Name+"` |") {
				t.Errorf("%s lacks %s", d.Name, a.Name)
			}
		}
	}
	for _, part := range []string{
		"- **accounts**: [check_account](#check_account), [get_ban_details](#get_ban_details-v2), [register](#register)\n",
		"\n## statistics\n\nSee also [connected_users_number](#connected_users_number).\n",
		"Result: `contacts:list(contact:tuple(jid:string, nick:string, groups:list(group:string)))`",
		"$ gabberdctl register bob example.com 'SomEPass 44'\nUser bob@example.com successfully registered\n",
		"In JSON, `host` may still be called `server`.",
		"*policy user · improved in 23.10*",
		"| `host` | `string` | Virtual host. Without: `localhost`. |",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("the text lacks %q", part)
		}
	}
	for range 5 {
		if again := admin.Markdown(shuffled()); string(again) != text {
			t.Fatal("the text depends on the order of the commands")
		}
	}
}

func TestOpenAPI(t *testing.T) {
	doc, err := admin.OpenAPI("gabberd", "26.07", descriptions())
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Paths map[string]struct {
			Post struct {
				Body struct {
					Content map[string]struct {
						Schema struct {
							Properties map[string]json.RawMessage
							Required   []string
						}
					}
				} `json:"requestBody"`
				Responses map[string]json.RawMessage
			}
		}
	}
	if err := json.Unmarshal(doc, &got); err != nil {
		t.Fatal(err)
	}
	for _, d := range descriptions() {
		at := "/api/" + d.Name
		if d.Name == "add_rosteritem" && d.Version == 0 {
			at = "/api/v0/" + d.Name
		}
		path, ok := got.Paths[at]
		if ok == d.Internal() {
			t.Errorf("%s is there: %v", at, ok)
		}
		if !ok {
			continue
		}
		schema := path.Post.Body.Content["application/json"].Schema
		if len(schema.Properties) != len(d.Args) {
			t.Errorf("%s has %d arguments, not %d", at, len(schema.Properties), len(d.Args))
		}
		if len(path.Post.Responses) != 2 {
			t.Errorf("%s has responses %v", at, path.Post.Responses)
		}
	}
	pw := got.Paths["/api/register"].Post.Body.Content["application/json"].Schema.Properties["password"]
	if !bytes.Contains(pw, []byte(`"format": "password"`)) {
		t.Errorf("password: %s", pw)
	}
	if got := string(got.Paths["/api/get_ban_details"].Post.Responses["200"]); !strings.Contains(got, `"additionalProperties"`) {
		t.Errorf("pairs: %s", got)
	}
	again, err := admin.OpenAPI("gabberd", "26.07", shuffled())
	if err != nil || !bytes.Equal(doc, again) {
		t.Errorf("the text depends on the order of the commands, %v", err)
	}
}
