package config

import (
	"fmt"
	"strings"
)

// helpWidth is where lines of help are broken.
const helpWidth = 78

// Help renders what there is to know about fields for a terminal: a paragraph
// for each, in order, with what can be set in it further in.
func Help(infos []Info) string {
	var b strings.Builder
	help(&b, infos, "")
	return b.String()
}

func help(b *strings.Builder, infos []Info, indent string) {
	for _, info := range infos {
		fmt.Fprintf(b, "%s%s: %s\n", indent, info.Name, info.Type)
		in := indent + "    "
		wrap(b, info.Doc, in)
		for _, rule := range info.Rules {
			wrap(b, "Must be "+rule+".", in)
		}
		switch {
		case info.Required:
			wrap(b, "Required.", in)
		case info.Secret:
		case info.Default != "":
			wrap(b, "Default: "+info.Default, in)
		}
		if info.Example != "" {
			wrap(b, "Example: "+info.Name+": "+info.Example, in)
		}
		if len(info.Old) > 0 {
			wrap(b, "Formerly "+strings.Join(info.Old, ", ")+".", in)
		}
		if info.Unbuilt {
			wrap(b, "Not built yet.", in)
		}
		help(b, info.Fields, in)
	}
}

// wrap writes text in lines that begin with indent.
func wrap(b *strings.Builder, text, indent string) {
	line := indent
	for _, word := range strings.Fields(text) {
		if len(line) > len(indent) && len(line)+len(word) >= helpWidth {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line = indent
		}
		line += word + " "
	}
	b.WriteString(strings.TrimRight(line, " ") + "\n")
}
