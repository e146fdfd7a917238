package config

import "strings"

// didYouMean returns `; did you mean "x"?` with the nearest of names, or ""
// when none is near.
func didYouMean(wrong string, names []string) string {
	if near := nearest(wrong, names); near != "" {
		return `; did you mean "` + near + `"?`
	}
	return ""
}

// nearest returns the name that a person may have meant: the fewest letters to
// change, at most a third of them; "" if there is none.
func nearest(wrong string, names []string) string {
	if len(wrong) > 64 {
		return ""
	}
	low := strings.ToLower(wrong)
	best, at := "", max(1, len(wrong)/3)+1
	for _, name := range names {
		if name == wrong || name == "" {
			continue
		}
		d := distance(low, strings.ToLower(name))
		if d < at {
			best, at = name, d
		}
	}
	if best == "" {
		return inPart(low, names)
	}
	return best
}

// inPart returns a name that begins or ends with wrong, or the other way
// round, if there is just one.
func inPart(wrong string, names []string) string {
	if len(wrong) < 3 {
		return ""
	}
	found := ""
	for _, name := range names {
		low := strings.ToLower(name)
		if len(low) < 3 {
			continue
		}
		if strings.HasPrefix(low, wrong) || strings.HasSuffix(low, wrong) || strings.HasPrefix(wrong, low) || strings.HasSuffix(wrong, low) {
			if found != "" {
				return ""
			}
			found = name
		}
	}
	return found
}

// distance is how many letters have to be added, dropped, changed or swapped
// with their neighbour to make b of a.
func distance(a, b string) int {
	before, row, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(b)]
}
