package config

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Names of options that are about the file itself.
const (
	defineMacro   = "define_macro"
	defineKeyword = "define_keyword"
	includeFile   = "include_config_file"
	hostConfig    = "host_config"
	appendConfig  = "append_host_config"
)

// maxOptions is how many options one map may have. There are not nearly that
// many.
const maxOptions = 2000

// maxIncludes is how many files one configuration may be made of.
const maxIncludes = 1000

// A reader reads the files of a configuration.
type reader struct {
	macros *macros
	files  []string // read so far, in order
	open   []string // including each other, outermost first
	errs   []error
}

// file reads the file called name, with what it includes put in, and learns its
// macros. A file that is not YAML is an error.
func (r *reader) file(name string) (*Node, error) {
	text, err := readFile(name)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(r.files, name) {
		r.files = append(r.files, name)
	}
	n, err := parse(name, text, r.macros.budget)
	if err != nil {
		return nil, err
	}
	if n.kind == KindNull {
		n.kind = KindMap
	}
	if n.kind != KindMap {
		return nil, n.Errorf("expected options, each as name: value, not %s", n.kind)
	}
	for k, v := range n.Map() {
		if k == defineMacro {
			r.errs = append(r.errs, r.macros.define(v)...)
		}
	}
	r.open = append(r.open, clean(name))
	defer func() { r.open = r.open[:len(r.open)-1] }()
	return r.splice(n), nil
}

// readFile reads a file of bounded size.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if closed := f.Close(); err == nil {
		err = closed
	}
	return text, err
}

func clean(name string) string {
	if abs, err := filepath.Abs(name); err == nil {
		name = abs
	}
	if real, err := filepath.EvalSymlinks(name); err == nil {
		return real
	}
	return name
}

// splice returns the map n with the entries of included files in the place of
// include_config_file, also in the blocks of host_config, and entries of the
// same name put together.
func (r *reader) splice(n *Node) *Node {
	out := *n
	out.parent, out.step, out.entries = nil, "", nil
	if len(n.entries) > maxOptions {
		r.errs = append(r.errs, n.Errorf("more than %d options", maxOptions))
		return &out
	}
	for _, e := range n.entries {
		switch {
		case e.key.text == includeFile:
			for _, x := range r.include(e.value) {
				r.put(&out, x)
			}
		case e.key.text == hostConfig && e.value.kind == KindMap:
			blocks := *e.value
			blocks.parent, blocks.step, blocks.entries = nil, "", nil
			for _, host := range e.value.entries {
				if host.value.kind == KindMap {
					host.value = r.splice(host.value)
				}
				r.put(&blocks, host)
			}
			r.put(&out, entry{e.key, &blocks})
		default:
			r.put(&out, e)
		}
	}
	return &out
}

// put adds an entry to a map of options. One of the same name is continued if
// both are lists or both maps, and a mistake otherwise.
func (r *reader) put(n *Node, e entry) {
	if before := n.Key(e.key.text); before != nil && e.key.text != defineMacro {
		if old := n.Get(e.key.text); concatenate(old, e.value) {
			if before.file == e.key.file {
				r.errs = append(r.errs, e.key.Warnf("written twice, in line %d too; both parts are used", before.line))
			}
			return
		}
		r.errs = append(r.errs, e.key.Errorf("written twice; the first is in %s", before.seenFrom(e.key)))
		return
	}
	n.put(e.key, e.value)
}

// concatenate adds what is in more to n, if both are lists or both maps.
func concatenate(n, more *Node) bool {
	switch {
	case n.kind == KindList && more.kind == KindList:
		for _, item := range more.items {
			n.add(item)
		}
	case n.kind == KindMap && more.kind == KindMap:
		for _, e := range more.entries {
			n.put(e.key, e.value)
		}
	default:
		return false
	}
	return true
}

// A filter says which options of an included file are taken.
type filter struct {
	Disallow, AllowOnly []string
}

// Fields declares the two lists of include_config_file.
func (f *filter) Fields(fs *Fields) {
	fs.Strings(&f.Disallow, "disallow", nil, "Options that are left out.")
	fs.Strings(&f.AllowOnly, "allow_only", nil, "The only options that are taken.")
}

func (f *filter) takes(name string) bool {
	if len(f.AllowOnly) > 0 {
		return slices.Contains(f.AllowOnly, name)
	}
	return !slices.Contains(f.Disallow, name)
}

// include returns the entries of all files that the value of
// include_config_file names.
func (r *reader) include(value *Node) []entry {
	var out []entry
	path := value.Path()
	value = r.macros.expand(value, &r.errs)
	value.step = path
	switch value.kind {
	case KindNull:
	case KindScalar:
		out = r.includeFile(value, filter{})
	case KindList:
		for _, item := range value.items {
			if item.kind == KindMap {
				out = append(out, r.includeMap(item)...)
				continue
			}
			out = append(out, r.includeFile(item, filter{})...)
		}
	case KindMap:
		out = r.includeMap(value)
	}
	return out
}

func (r *reader) includeMap(n *Node) (out []entry) {
	for _, e := range n.entries {
		var f filter
		mistakes, _ := Decode(e.value, &f)
		r.errs = append(r.errs, mistakes...)
		out = append(out, r.includeFile(e.key, f)...)
	}
	return out
}

// includeFile returns the entries that f takes of the file that n names.
func (r *reader) includeFile(n *Node, f filter) []entry {
	name, ok := n.Scalar()
	if !ok {
		r.errs = append(r.errs, n.Wanted("the name of a file"))
		return nil
	}
	if i := slices.Index(r.open, clean(name)); i >= 0 {
		r.errs = append(r.errs, n.Errorf("%s includes itself", name))
		return nil
	}
	if len(r.open) > maxDepth || len(r.files) >= maxIncludes {
		r.errs = append(r.errs, n.Errorf("too many files"))
		return nil
	}
	file, err := r.file(name)
	var m *Mistake
	switch {
	case err == nil:
	case errors.As(err, &m):
		r.errs = append(r.errs, err)
		return nil
	default:
		r.errs = append(r.errs, n.Errorf("cannot include: %v%s", err, r.beside(n, name, err)))
		return nil
	}
	var out []entry
	for _, e := range file.entries {
		if f.takes(e.key.text) {
			out = append(out, e)
		}
	}
	return out
}

// beside returns a hint for a file that was looked for in the wrong place.
func (r *reader) beside(n *Node, name string, err error) string {
	if !errors.Is(err, fs.ErrNotExist) || filepath.IsAbs(name) {
		return ""
	}
	there := filepath.Join(filepath.Dir(n.file), name)
	if _, err := os.Stat(there); err != nil {
		return "; relative names start at the server's working directory"
	}
	return "; relative names start at the server's working directory: write " + there
}
