package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/c2s"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/redis"
)

// renew is how the documents are made again.
const renew = "go run ./server/gendocs"

// A room is a part of the server with options of its own at the top of
// ejabberd.yml.
type room struct {
	title, doc string
	options    []config.Declarer
}

// rooms are all parts that read options at the top, in the order of the manual.
func rooms() []room {
	return []room{
		{"The server", "", []config.Declarer{&global{}}},
		{"Virtual hosts", "These can also be set for one host, under `host_config`.", []config.Declarer{&hostOptions{}}},
		{"Sessions and clusters", "Nodes that share a Redis and its prefix are a cluster (docs/cluster.md). Where sessions live can also be set for one host, under `host_config`.", []config.Declarer{&sessionOptions{}, &redis.Options{}}},
		{"Who may do what", "Rules can also be set for one host, under `host_config`.", []config.Declarer{&acl.Options{}, &acl.Permissions{}}},
		{"Accounts", "These can also be set for one host, under `host_config`.", []config.Declarer{&auth.Options{}}},
		{"Databases", "These can also be set for one host, under `host_config`.", []config.Declarer{&storage.SQL{}}},
	}
}

// listenerDocs are the listeners that there are, by module, with the options of
// each beside those that all have.
func listenerDocs() map[string][]config.Declarer {
	return map[string][]config.Declarer{"ejabberd_c2s": {&c2s.Options{}}, metricsModule: {&metricsOptions{}}}
}

// Documents are the generated part of docs/, by file name from the top of the
// repository, for a server with these modules. The same declarations make the
// same bytes.
func Documents(list []modules.Module) (map[string][]byte, error) {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b modules.Module) int { return strings.Compare(a.Name, b.Name) })
	commands := commandsOf(list)
	declared := config.Declared{Options: topOptions(), Listeners: map[string][]config.Info{}, Modules: map[string][]config.Info{}}
	for name, ds := range listenerDocs() {
		declared.Listeners[name] = slices.Concat(config.Describe(&listenPlace{}), describe(ds))
	}
	for _, m := range list {
		declared.Modules[m.Name] = m.Options
	}
	schema, err := schemaOf(declared)
	if err != nil {
		return nil, fmt.Errorf("schema of ejabberd.yml: %w", err)
	}
	api, err := admin.OpenAPI("gabberd", Version, commands)
	if err != nil {
		return nil, fmt.Errorf("description of the API: %w", err)
	}
	docs := map[string][]byte{
		"docs/commands.md":          admin.Markdown(commands),
		"docs/ejabberd.schema.json": append(schema, '\n'),
		"docs/hooks.md":             hooksPage(),
		"docs/metrics.md":           metricsPage(list),
		"docs/openapi.json":         append(api, '\n'),
		"docs/options.md":           optionsPage(list),
		"docs/xeps.md":              xepsPage(list),
		"gabberd.doap":              doap(list),
	}
	for _, m := range list {
		docs["docs/modules/"+m.Name+".md"] = modulePage(m)
	}
	return docs, nil
}

// schemaOf is the schema of ejabberd.yml, with what stands in it several times
// said once: what modules and virtual hosts can be told.
func schemaOf(d config.Declared) ([]byte, error) {
	b, err := config.Schema(d)
	if err != nil {
		return nil, err
	}
	var root map[string]json.RawMessage
	if err := json.Unmarshal(b, &root); err != nil {
		return nil, err
	}
	var top map[string]json.RawMessage
	if err := json.Unmarshal(root["properties"], &top); err != nil {
		return nil, err
	}
	ref := func(name string) json.RawMessage { return json.RawMessage(`{"$ref":"#/$defs/` + name + `"}`) }
	modules := top["modules"]
	top["modules"] = ref("modules")
	host := bytes.ReplaceAll(compact(top["host_config"]), compact(modules), ref("modules"))
	for _, name := range []string{"host_config", "append_host_config"} {
		top[name] = ref("hosts")
	}
	if root["properties"], err = json.Marshal(top); err != nil {
		return nil, err
	}
	if root["$defs"], err = json.Marshal(map[string]json.RawMessage{"modules": modules, "hosts": host}); err != nil {
		return nil, err
	}
	return json.MarshalIndent(root, "", " ")
}

// compact is JSON without spaces between.
func compact(b []byte) []byte {
	var out bytes.Buffer
	if err := json.Compact(&out, b); err != nil {
		return b // it was made by json.Marshal
	}
	return out.Bytes()
}

// commandsOf is every command of a server with these modules. None of them may
// be called.
func commandsOf(list []modules.Module) []admin.Description {
	var out []admin.Description
	for _, c := range (*Server)(nil).commands() {
		out = append(out, c.About())
	}
	for _, m := range list {
		for _, c := range m.Commands {
			out = append(out, c.Module(m.Name).About())
		}
	}
	return out
}

func describe(ds []config.Declarer) (out []config.Info) {
	for _, d := range ds {
		out = append(out, config.Describe(d)...)
	}
	return out
}

// topOptions are the options at the top that are built.
func topOptions() (out []config.Info) {
	for _, r := range rooms() {
		out = append(out, describe(r.options)...)
	}
	return out
}
