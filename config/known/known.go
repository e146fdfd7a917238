// Package known lists everything that ejabberd 26.07 can be told: top-level
// options, listeners and modules with theirs. What this server has built is
// declared where it is used; this list is what tells an option that is not
// built yet from one that is misspelled.
package known

import (
	"maps"
	"slices"
)

// An Option is something that can be set.
type Option struct {
	Name    string
	Type    string // in the grammar of Type's check, see package config
	Default string // in words where it depends on something; "" if there is none
	Doc     string
	Global  bool   // not allowed in host_config
	Fatal   bool   // to ignore it would admit, lose or misplace something
	Safe    string // the values of a Fatal option that can be ignored, with spaces between
}

// A Module is a module with its options.
type Module struct {
	Name, Doc string
	Options   []Option
	Fatal     bool // a server without it would admit, lose or misplace something
}

// A Listener is a listener module with its options.
type Listener struct {
	Name, Doc string
	Options   []Option // without those that all have
}

// TopLevel returns every top-level option.
func TopLevel() []Option { return slices.Concat(topLevel1, topLevel2) }

// Find returns the option called name.
func Find(options []Option, name string) (Option, bool) {
	i := slices.IndexFunc(options, func(o Option) bool { return o.Name == name })
	if i < 0 {
		return Option{}, false
	}
	return options[i], true
}

// Common returns the options that every listener has.
func Common() []Option { return slices.Clone(common) }

// Listeners returns every listener module.
func Listeners() []Listener { return slices.Clone(listeners) }

// FindListener returns the listener module called name.
func FindListener(name string) (Listener, bool) {
	i := slices.IndexFunc(listeners, func(l Listener) bool { return l.Name == name })
	if i < 0 {
		return Listener{}, false
	}
	return listeners[i], true
}

// Handlers returns what may serve the requests of an HTTP listener, in order of
// name, with what each is for.
func Handlers() map[string]string { return maps.Clone(handlers) }

// Modules returns every module, in order of name.
func Modules() []Module { return slices.Concat(modules1, modules2, modules3) }

// FindModule returns the module called name.
func FindModule(name string) (Module, bool) {
	for _, part := range [][]Module{modules1, modules2, modules3} {
		i := slices.IndexFunc(part, func(m Module) bool { return m.Name == name })
		if i >= 0 {
			return part[i], true
		}
	}
	return Module{}, false
}
