package admin

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gabberd/gabberd/config"
)

// help answers `help`, which is made of the declarations.
func (d *ctlDoor) help(words []string) int {
	p := d.page()
	list := d.r.List(d.version)
	if len(words) > 1 && words[0] == "--tags" {
		words = words[1:]
	}
	what := ""
	if len(words) > 0 {
		what = words[0]
	}
	switch what {
	case "":
		d.a.Print(p.overview())
	case "tags", "--tags":
		d.a.Print(p.tags(list))
	case "commands", "--long", "--dual":
		d.a.Print(p.everything(list))
	default:
		return d.helpOn(p, what, list)
	}
	return ExitOK
}

// helpOn shows the tag or the commands of that name; the name of a command may
// have wildcards.
func (d *ctlDoor) helpOn(p page, what string, list []Description) int {
	tags := byTag(list)
	tagged := tags[what]
	found := matching(plain(what), list)
	if len(tagged) > 0 {
		d.a.Print("Available commands with tag " + p.bold(what) + ":\n\n" + p.long(tagged) + "\n")
	}
	switch len(found) {
	case 0:
		if len(tagged) == 0 {
			names := append(d.r.Names(d.version), slices.Sorted(maps.Keys(tags))...)
			d.a.Print(fmt.Sprintf("No tag or command matches '%s'.%s\n", clip(what), didYouMean(plain(what), names)))
		}
	case 1:
		d.a.Print(p.command(&found[0]))
	default:
		d.a.Print(p.long(found))
	}
	return ExitOK
}

// matching returns the command of that name, or else those that fit the glob.
func matching(glob string, list []Description) []Description {
	var out []Description
	for _, d := range list {
		if d.Name == glob {
			return []Description{d}
		}
		if fits, err := path.Match(glob, d.Name); err == nil && fits {
			out = append(out, d)
		}
	}
	return out
}

// byTag sorts commands by what they are about. A command may be in several
// groups.
func byTag(list []Description) map[string][]Description {
	groups := map[string][]Description{}
	for _, d := range list {
		tags := d.tags()
		if len(tags) == 0 {
			tags = []string{"untagged"}
		}
		for _, tag := range tags {
			groups[tag] = append(groups[tag], d)
		}
	}
	return groups
}

// synopsis is the command with its arguments in a line.
func synopsis(d *Description) string {
	var b strings.Builder
	b.WriteString(d.Name)
	for i, a := range d.Args {
		name := a.Name
		if d.Rest && i == len(d.Args)-1 {
			name += " …"
		}
		if a.Optional {
			name = "[" + name + "]"
		}
		b.WriteString(" " + name)
	}
	return b.String()
}

// argType names the type of an argument in ejabberd's terms.
func argType(a config.Info) string {
	switch a.Shape {
	case config.ShapeInt:
		return "integer"
	case config.ShapeChoice:
		return strings.Join(a.Values, "|")
	case config.ShapeTexts:
		return "[" + singular(a.Name) + "::string]"
	case config.ShapeTextMap:
		return "[{name::string, value::string}]"
	case config.ShapeRecords:
		return "[" + tupleType(a.Fields) + "]"
	case config.ShapeRecord:
		return tupleType(a.Fields)
	case config.ShapeText:
		return "string"
	case config.ShapeNamed, config.ShapeAny:
		return "json"
	}
	return string(a.Shape)
}

func tupleType(fields []config.Info) string {
	parts := make([]string, len(fields))
	for i, f := range fields {
		parts[i] = f.Name + "::" + argType(f)
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// A page lays help out for a terminal.
type page struct {
	program string
	width   int
	styled  bool
}

func (d *ctlDoor) page() page {
	p := page{program: d.program(), width: 78}
	if d.req.Width > 0 {
		p.width, p.styled = min(max(d.req.Width-2, 40), 200), true
	}
	return p
}

func (p page) bold(s string) string {
	if !p.styled {
		return s
	}
	return "\x1b[1m" + s + "\x1b[22m"
}

// filled breaks words into lines, the later ones behind a margin; the first
// begins at column at.
func (p page) filled(at, margin int, words []string) string {
	var b strings.Builder
	for i, w := range words {
		n := utf8.RuneCountInString(w)
		switch {
		case i == 0:
		case at+1+n > p.width:
			b.WriteString("\n" + strings.Repeat(" ", margin))
			at = margin
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(w)
		at += n
	}
	return b.String()
}

func (p page) paragraph(margin int, text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, p.filled(margin, margin, strings.Fields(line)))
	}
	return strings.Join(lines, "\n"+strings.Repeat(" ", margin))
}

// tags shows every tag with the names of its commands.
func (p page) tags(list []Description) string {
	var b strings.Builder
	b.WriteString("Available tags and list of commands:\n")
	groups := byTag(list)
	for _, tag := range slices.Sorted(maps.Keys(groups)) {
		names := make([]string, len(groups[tag]))
		for i, d := range groups[tag] {
			names[i] = d.Name
		}
		b.WriteString("\n  " + p.bold(tag) + "\n    " + p.filled(4, 4, names) + "\n")
	}
	return b.String() + "\n"
}

// everything shows every tag with its commands and their arguments.
func (p page) everything(list []Description) string {
	var b strings.Builder
	b.WriteString("Available tags and commands details:\n")
	groups := byTag(list)
	for _, tag := range slices.Sorted(maps.Keys(groups)) {
		b.WriteString("\n  " + p.bold(tag) + "\n")
		for i := range groups[tag] {
			b.WriteString("    " + synopsis(&groups[tag][i]) + "\n")
		}
	}
	return b.String() + "\n"
}

// long shows commands with their sentences.
func (p page) long(list []Description) string {
	var b strings.Builder
	for i := range list {
		d := &list[i]
		rest := strings.TrimPrefix(synopsis(d), d.Name)
		b.WriteString("  " + p.bold(d.Name) + rest + "\n            " + p.paragraph(12, d.Doc) + "\n")
	}
	return b.String()
}

// command shows all there is to know about a command.
func (p page) command(d *Description) string {
	var b strings.Builder
	part := func(title, text string) {
		if text != "" {
			fmt.Fprintf(&b, "  %s: %s\n\n", title, text)
		}
	}
	part("Command Name", p.bold(d.Name))
	args := make([]string, len(d.Args))
	lists, tuples := false, false
	for i, a := range d.Args {
		args[i] = a.Name + "::" + argType(a)
		if a.Doc != "" {
			args[i] += " : " + p.filled(16+len(args[i]), 17, strings.Fields(a.Doc))
		}
		lists = lists || isList(a.Shape)
		tuples = tuples || a.Shape == config.ShapeRecord || a.Shape == config.ShapeRecords
	}
	if len(args) > 0 {
		part("Arguments", strings.Join(args, "\n             "))
	}
	part("Result", d.Result.Name+"::"+d.Result.Type())
	part("Example", strings.Join(p.example(d), "\n           "))
	part("Tags", strings.Join(d.tags(), " "))
	part("Module", d.Module)
	part("Note", d.Note)
	part("Description", p.paragraph(15, d.Doc))
	if d.Long != "" {
		b.WriteString(p.paragraph(0, d.Long) + "\n\n")
	}
	if lists && !d.Rest {
		b.WriteString("  Commas separate the elements of a list: one,two,three. Write \"\" for an empty list.\n\n")
	}
	if tuples {
		b.WriteString("  Colons separate the elements of a tuple: members_only:true.\n\n")
	}
	return b.String()
}

func (p page) example(d *Description) []string {
	if d.ExampleWords == nil && d.ExampleResult == "" {
		return nil
	}
	line := p.program + " " + d.Name
	for _, w := range d.ExampleWords {
		line += " " + shellWord(w)
	}
	if d.ExampleResult == "" {
		return []string{line}
	}
	return append([]string{line}, strings.Split(d.ExampleResult, "\n")...)
}

// tags are the command's tags and its API version, as ejabberd lists them.
func (d *Description) tags() []string {
	if d.Version == 0 {
		return d.Tags
	}
	return append(slices.Clone(d.Tags), fmt.Sprintf("v%d", d.Version))
}

// shellWord quotes w for a shell where that is needed.
func shellWord(w string) string {
	if w != "" && !strings.ContainsAny(w, " \t\n'\"\\$`!*?[]{}()<>|&;#~") {
		return w
	}
	return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
}

// overview is the help of help.
func (p page) overview() string {
	rows := [][2]string{
		{"tags", "all tags with the names of their commands"},
		{"commands", "all commands with their arguments, by tag"},
		{"TAG", "the commands with that tag"},
		{"COMMAND", "all about that command"},
		{"COM?*", "the commands that fit: ? is one character, * are any"},
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: %s [--data DIR] [--json] [--version N] [--auth USER HOST PASSWORD] COMMAND [ARGUMENTS]\n\n", p.program)
	fmt.Fprintf(&b, "%s shows what the server can be asked to do:\n\n", p.bold(p.program+" help WHAT"))
	for _, r := range rows {
		fmt.Fprintf(&b, "  %-9s  %s\n", r[0], r[1])
	}
	b.WriteString(`
In arguments, commas separate the elements of a list and colons those of a
tuple: create_room_with_opts … members_only:true,persistent:true
In results, a list at the top has a line for each element, a list inside has
commas between them, and a tuple has tabs.
`)
	return b.String()
}
