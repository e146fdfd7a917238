package takeover

import (
	"slices"

	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/adminextra"
	"github.com/gabberd/gabberd/modules/all"
	"github.com/gabberd/gabberd/modules/private"
	"github.com/gabberd/gabberd/modules/vcard"
)

func everything() []modules.Module {
	out := slices.Clone(all.Modules)
	for _, m := range []modules.Module{adminextra.Module, private.Module, vcard.Module} {
		if !slices.ContainsFunc(out, func(o modules.Module) bool { return o.Name == m.Name }) {
			out = append(out, m)
		}
	}
	return out
}
