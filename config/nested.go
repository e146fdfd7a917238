package config

import "errors"

// Sub declares a record inside a record: a map whose names O declares. Its
// default is O's defaults.
func Sub[O any, P Of[O]](f *Fields, p *O, name, doc string) *Field[O] {
	info := Info{Name: name, Type: "map", Doc: doc, Shape: ShapeRecord, Fields: Describe(P(new(O)))}
	d := declare(f, p, info, zero[O, P](nil), func(_ *Field[O], n *Node) (O, error) { return record[O, P](n) })
	d.info.Default = ""
	d.fresh = func(_ O, s *scope) O { return zero[O, P](s) }
	d.words = func(w string) *Node { return recordOfWords(w, d.info.Fields) }
	return d
}

// List declares a list of records; a single record stands for a list of one.
func List[O any, P Of[O]](f *Fields, p *[]O, name, doc string) *Field[[]O] {
	info := Info{Name: name, Type: "list of maps", Doc: doc, Shape: ShapeRecords, Fields: Describe(P(new(O)))}
	d := declare(f, p, info, nil, func(d *Field[[]O], n *Node) ([]O, error) {
		if n.Kind() == KindMap {
			n = tuples(n, d.info.Fields)
		}
		return each(n, record[O, P])
	})
	d.info.Default = "[]"
	d.words = func(w string) *Node {
		list := &Node{kind: KindList}
		for _, part := range split(w, ',') {
			list.add(recordOfWords(part, d.info.Fields))
		}
		return list
	}
	return d
}

// tuples makes a list of a map. With a record of two fields, whose names the
// map does not use, each entry is one record: {a: 1, b: 2} is short for
// [{name: a, value: 1}, {name: b, value: 2}].
func tuples(n *Node, fields []Info) *Node {
	list := &Node{kind: KindList, file: n.file, line: n.line, column: n.column, scope: n.scope}
	list.parent, list.step = n.parent, n.step
	if len(fields) != 2 || n.Get(fields[0].Name) != nil || n.Get(fields[1].Name) != nil {
		list.add(n.copy())
		return list
	}
	for _, e := range n.entries {
		m := &Node{kind: KindMap, file: e.key.file, line: e.key.line, column: e.key.column, scope: n.scope}
		m.put(word(fields[0].Name), e.key.copy())
		m.put(word(fields[1].Name), e.value.copy())
		list.add(m)
	}
	return list
}

// Map declares names with a record each. Use Table where the order matters.
func Map[O any, P Of[O]](f *Fields, p *map[string]O, name, doc string) *Field[map[string]O] {
	info := Info{Name: name, Type: "map of names to maps", Doc: doc, Shape: ShapeNamed, Fields: Describe(P(new(O)))}
	d := declare(f, p, info, nil, func(_ *Field[map[string]O], n *Node) (map[string]O, error) {
		rows, err := table[O, P](n)
		m := make(map[string]O, len(rows))
		for _, r := range rows {
			m[r.Name] = r.Value
		}
		return m, err
	})
	d.info.Default = "{}"
	return d
}

// A Row is a name with its record, and where it stands.
type Row[O any] struct {
	Name  string
	Value O
	Node  *Node
}

// Table declares names with a record each, in the order of the file.
func Table[O any, P Of[O]](f *Fields, p *[]Row[O], name, doc string) *Field[[]Row[O]] {
	info := Info{Name: name, Type: "map of names to maps", Doc: doc, Shape: ShapeNamed, Fields: Describe(P(new(O)))}
	d := declare(f, p, info, nil, func(_ *Field[[]Row[O]], n *Node) ([]Row[O], error) { return table[O, P](n) })
	d.info.Default = "{}"
	return d
}

func table[O any, P Of[O]](n *Node) ([]Row[O], error) {
	if n.Kind() != KindMap && n.Kind() != KindNull {
		return nil, n.Wanted("a map")
	}
	var out []Row[O]
	errs := []error{n.Duplicates()}
	for name, v := range n.Map() {
		o, err := record[O, P](v)
		out, errs = append(out, Row[O]{name, o, v}), append(errs, err)
	}
	return out, errors.Join(errs...)
}

func record[O any, P Of[O]](n *Node) (O, error) {
	var o O
	mistakes, warnings := Decode(n, P(&o))
	return o, errors.Join(append(mistakes, warnings...)...)
}

func zero[O any, P Of[O]](s *scope) O {
	var o O
	var f Fields
	P(&o).Fields(&f)
	for _, x := range f.list {
		x.reset(s)
	}
	return o
}
