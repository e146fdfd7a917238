package modules

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Order puts modules in the order in which they start: after those they need,
// then by name. The errors name modules that need one that is missing, or that
// need each other.
func Order(list []Prepared) ([]Prepared, []error) {
	slices.SortFunc(list, func(a, b Prepared) int { return cmp.Compare(a.Name, b.Name) })
	byName := map[string]Prepared{}
	for _, p := range list {
		byName[p.Name] = p
	}
	o := &ordering{byName: byName, state: map[string]int{}}
	for _, p := range list {
		o.visit(p, nil)
	}
	return o.out, o.errs
}

type ordering struct {
	byName map[string]Prepared
	state  map[string]int // 1: being visited, 2: done
	out    []Prepared
	errs   []error
}

func (o *ordering) visit(p Prepared, path []string) {
	switch o.state[p.Name] {
	case 2:
		return
	case 1:
		o.errs = append(o.errs, fmt.Errorf("modules need each other: %s", strings.Join(append(path, p.Name), " → ")))
		return
	}
	o.state[p.Name] = 1
	for _, need := range p.Needs {
		n, ok := o.byName[need]
		if !ok {
			o.errs = append(o.errs, fmt.Errorf("%s needs %s; add it to modules", p.Name, need))
			continue
		}
		o.visit(n, append(path, p.Name))
	}
	o.state[p.Name] = 2
	o.out = append(o.out, p)
}
