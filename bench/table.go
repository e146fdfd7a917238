package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

const (
	ours      = "gabberd"
	limitName = "limit"
)

// table is the report as Markdown.
func (r *report) table(steps []step) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; %s. CPU is that of the server's processes, user and system.\n", r.Machine, r.Started.UTC().Format("2006-01-02 15:04 UTC"))
	if o := r.others(); o >= 0.1 {
		fmt.Fprintf(&b, "**The machine was not quiet**: other programs took up to %.1f cores while something was measured; compare ratios, not figures.\n", o)
	}
	b.WriteString("\n| workload |")
	rule := "| --- |"
	for _, c := range r.Servers {
		fmt.Fprintf(&b, " %s |", c.title())
		rule += " --- |"
	}
	for _, title := range r.comparisons() {
		fmt.Fprintf(&b, " %s |", title)
		rule += " --- |"
	}
	b.WriteString("\n" + rule + "\n")
	for _, s := range steps {
		for _, w := range s.rows {
			r.line(&b, s, w)
		}
	}
	if bad := r.trouble(); bad != nil {
		b.WriteString("\n**Broken**:\n\n")
		for _, t := range bad {
			fmt.Fprintf(&b, "- %s\n", t)
		}
	} else {
		b.WriteString("\nNo stanza was lost, doubled or reordered in any row.\n")
	}
	return b.String()
}

// title is a column's heading.
func (c column) title() string {
	title := c.Version
	if title == "" {
		title = c.Name
	}
	if c.Remark != "" {
		title += " (" + c.Remark + ")"
	}
	return title
}

func (r *report) comparisons() []string {
	var all []string
	if r.ran(ours) && len(r.Servers) > 1 {
		if len(r.peers()) > 0 {
			all = append(all, "gabberd against the better of the others")
		}
		if r.ran(limitName) {
			all = append(all, "gabberd against the limit")
		}
	}
	return all
}

// peers are the servers that ours is compared with.
func (r *report) peers() []string {
	var all []string
	for _, c := range r.Servers {
		if c.Name != ours && c.Name != limitName {
			all = append(all, c.Name)
		}
	}
	return all
}

// line writes one row, unless nobody has a figure for it.
func (r *report) line(b *strings.Builder, s step, w row) {
	cells, any := "", false
	for _, c := range r.Servers {
		v, ok := r.figure(c.Name, s.name, w.figure)
		any = any || ok
		cells += " " + cell(v, ok, w.unit) + " |"
	}
	if !any {
		return
	}
	fmt.Fprintf(b, "| %s |%s", w.title, cells)
	if len(r.comparisons()) > 0 {
		mine, ok := r.figure(ours, s.name, w.figure)
		if len(r.peers()) > 0 {
			fmt.Fprintf(b, " %s |", r.against(s, w, mine, ok))
		}
		if r.ran(limitName) {
			bound, there := r.figure(limitName, s.name, w.figure)
			text := ""
			if ok && there && bound > 0 && mine > 0 && w.ratio != none {
				text = significant(mine/bound) + " ×"
			}
			fmt.Fprintf(b, " %s |", text)
		}
	}
	b.WriteString("\n")
}

// against compares with the better of the peers.
func (r *report) against(s step, w row, mine float64, ok bool) string {
	best := math.NaN()
	for _, p := range r.peers() {
		v, there := r.figure(p, s.name, w.figure)
		better := w.ratio == less && v < best || w.ratio == more && v > best
		if there && (math.IsNaN(best) || better) {
			best = v
		}
	}
	if !ok || w.ratio == none || math.IsNaN(best) || best <= 0 || mine <= 0 {
		return ""
	}
	ratio := best / mine
	if w.ratio == more {
		ratio = mine / best
	}
	if ratio >= 1 {
		return significant(ratio) + " × " + string(w.ratio)
	}
	worse := map[verdict]string{less: "more", more: "less"}[w.ratio]
	return "**" + significant(1/ratio) + " × " + worse + "**"
}

// cell is a figure with its unit; microseconds become milliseconds where that
// reads better.
func cell(v float64, ok bool, unit string) string {
	switch {
	case !ok:
		return "–"
	case unit == "µs" && v >= 1000:
		return significant(v/1000) + " ms"
	case unit == "/s":
		return significant(v) + "/s"
	}
	return significant(v) + " " + unit
}

// significant writes a number with three digits that count.
func significant(v float64) string {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return "0"
	}
	digits := 2 - int(math.Floor(math.Log10(math.Abs(v))))
	if digits > 0 {
		return strconv.FormatFloat(v, 'f', min(digits, 3), 64)
	}
	scale := math.Pow10(-digits)
	return thousands(math.Round(v/scale) * scale)
}

// thousands writes a whole number with commas.
func thousands(v float64) string {
	text := strconv.FormatFloat(math.Abs(v), 'f', 0, 64)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	if v < 0 {
		text = "-" + text
	}
	return text
}
