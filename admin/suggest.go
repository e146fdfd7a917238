package admin

import (
	"fmt"
	"strings"
)

// didYouMean returns ` Did you mean 'x'?` with the name that is nearest to
// wrong, or "" when none is near.
func didYouMean(wrong string, names []string) string {
	if len(wrong) > 64 {
		return ""
	}
	best, least := "", max(2, len(wrong)/3)+1
	for _, name := range names {
		d := distance(wrong, name)
		if len(wrong) >= 3 && strings.Contains(name, wrong) {
			d = min(d, 1)
		}
		if d < least {
			best, least = name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" Did you mean '%s'?", best)
}

// distance is the number of letters to add, drop or change to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
