package config

import "net/url"

// Equal tells whether n and o say the same, wherever they stand: a reload
// restarts only what is not equal. The order of a map counts, since there are
// options for which it does.
func (n *Node) Equal(o *Node) bool {
	if n.Kind() != o.Kind() || n.Len() != o.Len() {
		return false
	}
	if n.textOf() != o.textOf() {
		return false
	}
	for i, item := range n.List() {
		if !item.Equal(o.items[i]) {
			return false
		}
	}
	for i, e := range n.pairs() {
		if e.key.text != o.entries[i].key.text || !e.value.Equal(o.entries[i].value) {
			return false
		}
	}
	return true
}

// ForHost returns n as it is on a virtual host: @HOST@ in its texts, and in the
// defaults of what is decoded from it, is host. Nodes that come from a Tree
// have it already.
func (n *Node) ForHost(host string) (*Node, error) {
	if n == nil {
		n = &Node{}
	}
	s := &scope{hostKeywords(host)}
	c, err := s.apply(n, newBudget())
	c.parent, c.step, c.topic = n.parent, n.step, n.topic
	return c, err
}

// hostKeywords are the keywords that every virtual host has.
func hostKeywords(host string) map[string]*Node {
	return map[string]*Node{
		"HOST":            {kind: KindScalar, text: host, quoted: true},
		"HOST_URL_ENCODE": {kind: KindScalar, text: url.PathEscape(host), quoted: true},
	}
}
