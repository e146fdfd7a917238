// Package all lists the modules that come with the server.
package all

import (
	"github.com/gabberd/gabberd/modules"
)

// Modules is every module there is, in order of name.
var Modules = []modules.Module{}
