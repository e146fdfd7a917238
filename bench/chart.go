package main

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// What a chart looks like, in pixels.
const (
	chartWidth = 860
	labelWidth = 300
	barHeight  = 12
	rowGap     = 14
	headHeight = 64
	figureRoom = 110 // for the figure behind the longest bar
)

// colour of a server's bars.
func colour(name string) string {
	switch name {
	case ours:
		return "#1b7f4d"
	case "ejabberd":
		return "#c05a2b"
	case "prosody":
		return "#5b6fb5"
	}
	return "#9a9a9a"
}

// chart is the report as an SVG picture: for each row of the table in which less
// is better, a bar for each server, the longest of which fills the width.
func (r *report) chart(steps []step) string {
	var body strings.Builder
	y := headHeight
	for _, s := range steps {
		for _, w := range s.rows {
			if w.ratio == less {
				y += r.group(&body, s, w, y)
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="12" role="img">`+"\n", chartWidth, y, chartWidth, y)
	b.WriteString("<title>What each workload costs each server</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n")
	fmt.Fprintf(&b, `<text x="10" y="22" font-size="15">Shorter is better; every row has its own scale</text>`+"\n")
	x := 10
	for _, c := range r.Servers {
		fmt.Fprintf(&b, `<rect x="%d" y="36" width="12" height="12" fill="%s"/><text x="%d" y="46">%s</text>`+"\n", x, colour(c.Name), x+17, escape(c.title()))
		x += 40 + 7*len(c.title())
	}
	return b.String() + body.String() + "</svg>\n"
}

// group draws the bars of one row and returns its height; zero without figures.
func (r *report) group(b *strings.Builder, s step, w row, y int) int {
	var longest float64
	for _, c := range r.Servers {
		if v, ok := r.figure(c.Name, s.name, w.figure); ok {
			longest = max(longest, v)
		}
	}
	if longest <= 0 {
		return 0
	}
	fmt.Fprintf(b, `<text x="10" y="%d">%s</text>`+"\n", y+barHeight-2, escape(w.title))
	height := 0
	for _, c := range r.Servers {
		v, ok := r.figure(c.Name, s.name, w.figure)
		if !ok {
			continue
		}
		width := max(v, 0) / longest * (chartWidth - labelWidth - figureRoom)
		fmt.Fprintf(b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/><text x="%.1f" y="%d" font-size="11">%s</text>`+"\n",
			labelWidth, y+height, width, barHeight-1, colour(c.Name), labelWidth+width+5, y+height+barHeight-2, escape(cell(v, true, w.unit)))
		height += barHeight
	}
	return height + rowGap
}

// escape makes text fit for XML.
func escape(text string) string {
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(text)); err != nil {
		return ""
	}
	return b.String()
}
