package admin

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Markdown renders the reference of commands, docs/commands.md: by tag, each
// command in full under its first tag. The same commands give the same text.
func Markdown(commands []Description) []byte {
	list := slices.Clone(commands)
	slices.SortFunc(list, func(a, b Description) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), b.Version-a.Version)
	})
	list = slices.CompactFunc(list, func(a, b Description) bool { return a.Name == b.Name && a.Version == b.Version })
	groups := map[string][]Description{}
	for _, d := range list {
		tags := d.Tags
		if len(tags) == 0 {
			tags = []string{"untagged"}
		}
		for _, tag := range tags {
			groups[tag] = append(groups[tag], d)
		}
	}
	tags := slices.Sorted(maps.Keys(groups))

	var b strings.Builder
	b.WriteString("# Commands\n\n<!-- generated from the declarations by `make docs`; do not edit -->\n\n")
	b.WriteString("Every command can be called as `gabberdctl NAME ARGUMENTS`, and with the arguments in a JSON object as\n`POST /api/NAME`. ")
	b.WriteString("How lists and tuples are written, and what older API versions are, tells `gabberdctl help`.\n\n")
	for _, tag := range tags {
		names := make([]string, 0, len(groups[tag]))
		for _, d := range groups[tag] {
			names = append(names, "["+d.Name+"](#"+anchor(&d)+")")
		}
		fmt.Fprintf(&b, "- **%s**: %s\n", tag, strings.Join(slices.Compact(names), ", "))
	}
	for _, tag := range tags {
		fmt.Fprintf(&b, "\n## %s\n", tag)
		var elsewhere []string
		for i := range groups[tag] {
			d := &groups[tag][i]
			if len(d.Tags) > 0 && d.Tags[0] != tag {
				elsewhere = append(elsewhere, "["+d.Name+"](#"+anchor(d)+")")
				continue
			}
			entry(&b, d)
		}
		if len(elsewhere) > 0 {
			b.WriteString("\nSee also " + strings.Join(slices.Compact(elsewhere), ", ") + ".\n")
		}
	}
	return []byte(b.String())
}

// anchor is the name of a command's heading in links.
func anchor(d *Description) string {
	if d.Version == 0 {
		return d.Name
	}
	return fmt.Sprintf("%s-v%d", d.Name, d.Version)
}

// entry writes one command.
func entry(b *strings.Builder, d *Description) {
	title := d.Name
	if d.Version > 0 {
		title = fmt.Sprintf("%s v%d", d.Name, d.Version)
	}
	fmt.Fprintf(b, "\n### %s\n\n%s\n", title, d.Doc)
	if d.Long != "" {
		b.WriteString("\n" + strings.TrimSpace(d.Long) + "\n")
	}
	if len(d.Args) > 0 {
		b.WriteString("\n| argument | type | meaning |\n| --- | --- | --- |\n")
		for i, a := range d.Args {
			doc := a.Doc
			if len(a.Rules) > 0 {
				doc += " Must be " + strings.Join(a.Rules, " and ") + "."
			}
			switch {
			case a.Optional && a.Default != "":
				doc += " Without: `" + a.Default + "`."
			case a.Optional:
				doc += " May be left out."
			}
			if d.Rest && i == len(d.Args)-1 {
				doc += " Takes all words that are left."
			}
			fmt.Fprintf(b, "| `%s` | %s | %s |\n", a.Name, cell("`"+argType(a)+"`"), cell(strings.TrimSpace(doc)))
		}
	}
	fmt.Fprintf(b, "\nResult: `%s`\n", d.Result)
	for _, r := range d.Renames {
		fmt.Fprintf(b, "\nIn JSON, `%s` may still be called `%s`.\n", r.New, r.Old)
	}
	if lines := (page{program: "gabberdctl"}).example(d); lines != nil {
		b.WriteString("\n```\n$ " + strings.Join(lines, "\n") + "\n```\n")
	}
	facts := []string{"policy " + string(d.Policy)}
	if d.Module != "" {
		facts = append([]string{d.Module}, facts...)
	}
	if d.Note != "" {
		facts = append(facts, d.Note)
	}
	b.WriteString("\n*" + strings.Join(facts, " · ") + "*\n")
}

// cell makes s fit into a cell of a table.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(s)
}
