// Package version tells which software the server runs (XEP-0092).
package version

import (
	"context"
	"runtime"
	"runtime/debug"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/xmpp"
)

const ns = "jabber:iq:version"

// Module is mod_version.
var Module = modules.Define("mod_version", modules.Spec[options]{
	Doc:   "Tells the name and version of the server.",
	XEPs:  []string{"0092"},
	Start: start,
})

type options struct{ ShowOS bool }

// Fields declares the options.
func (o *options) Fields(f *config.Fields) {
	f.Bool(&o.ShowOS, "show_os", true, "Also tell the operating system.")
}

func start(h *modules.Host, o options) error {
	answer := o.element()
	h.IQ(ns, func(_ context.Context, iq *xmpp.Stanza) (*xmpp.Element, error) {
		switch {
		case iq.Type != "get":
			return nil, xmpp.NotAllowed.WithText("Only get is allowed here")
		case iq.Payload().Name != "query":
			return nil, xmpp.BadRequest
		}
		return answer, nil
	})
	h.Feature(ns)
	return nil
}

func (o options) element() *xmpp.Element {
	b := xmpp.Build(ns, "query")
	b.Open("", "name").Text("gabberd").Close()
	b.Open("", "version").Text(built()).Close()
	if o.ShowOS {
		b.Open("", "os").Text(runtime.GOOS + "/" + runtime.GOARCH).Close()
	}
	return b.Done()
}

// built is the version that the program was built from.
func built() string {
	b, ok := debug.ReadBuildInfo()
	if !ok || b.Main.Version == "" {
		return "unknown"
	}
	return b.Main.Version
}
