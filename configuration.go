// Package gabberd holds what a new server begins with.
package gabberd

import _ "embed"

// Configuration is the ejabberd.yml of a new server.
//
//go:embed ejabberd.yml
var Configuration []byte
