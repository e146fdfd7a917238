package server

import (
	"bytes"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/config/known"
	"gopkg.in/yaml.v3"
)

// written is every option as it was written, nil where it was not.
type written struct{ options map[string]*config.Node }

// Fields declares every option there is.
func (w *written) Fields(f *config.Fields) {
	w.options = map[string]*config.Node{}
	for _, o := range known.TopLevel() {
		config.Value(f, new(*config.Node), o.Name, "anything", nil, o.Doc, func(n *config.Node) (*config.Node, error) {
			w.options[o.Name] = n
			return n, nil
		})
	}
}

// dumpConfiguration is the configuration of opt in one file, with everything
// put in that it refers to, and host_config for what differs between hosts.
func dumpConfiguration(opt Options) ([]byte, error) {
	t, err := opt.tree()
	if err != nil {
		return nil, err
	}
	var all written
	t.Decode(&all)
	root := &yaml.Node{Kind: yaml.MappingNode}
	for _, o := range known.TopLevel() {
		if n := all.options[o.Name]; n != nil {
			put(root, o.Name, yamlOf(n))
		}
	}
	hosts := &yaml.Node{Kind: yaml.MappingNode}
	for _, domain := range t.Hosts() {
		var own written
		t.DecodeHost(domain, &own)
		block := &yaml.Node{Kind: yaml.MappingNode}
		for _, o := range known.TopLevel() {
			if n := own.options[o.Name]; n != nil && !o.Global && !n.Equal(all.options[o.Name]) {
				put(block, o.Name, yamlOf(n))
			}
		}
		if len(block.Content) > 0 {
			put(hosts, domain, block)
		}
	}
	if len(hosts.Content) > 0 {
		put(root, "host_config", hosts)
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(root); err != nil {
		return nil, err
	}
	return b.Bytes(), e.Close()
}

// put adds an entry to a map.
func put(m *yaml.Node, name string, value *yaml.Node) {
	key := &yaml.Node{}
	key.SetString(name)
	m.Content = append(m.Content, key, value)
}

// yamlOf is a value as it can be written again.
func yamlOf(n *config.Node) *yaml.Node {
	out := &yaml.Node{}
	switch n.Kind() {
	case config.KindMap:
		out.Kind = yaml.MappingNode
		for name, v := range n.Map() {
			put(out, name, yamlOf(v))
		}
	case config.KindList:
		out.Kind = yaml.SequenceNode
		for _, item := range n.List() {
			out.Content = append(out.Content, yamlOf(item))
		}
	case config.KindScalar:
		text, _ := n.Scalar()
		out.Kind, out.Value = yaml.ScalarNode, text
		if n.Quoted() {
			out.Style = yaml.DoubleQuotedStyle
		}
	default:
		out.Kind, out.Tag, out.Value = yaml.ScalarNode, "!!null", "null"
	}
	return out
}
