package config

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// brief shows a value in a message: 1s, 5, "text".
func brief(v any) string {
	switch v := v.(type) {
	case time.Duration:
		return briefSpan(v)
	case string:
		return quote(v)
	}
	return clip(long(v), 80)
}

// long shows a default as it could be written in a file; "" if there is no
// short way to say it.
func long(v any) string {
	switch v := v.(type) {
	case time.Duration:
		return longSpan(v)
	case string:
		return plain(v)
	case []string:
		words := make([]string, len(v))
		for i, s := range v {
			words[i] = plain(s)
		}
		return "[" + strings.Join(words, ", ") + "]"
	case int:
		if v == Unlimited {
			return "infinity"
		}
		return strconv.Itoa(v)
	case int64:
		if v == math.MaxInt64 {
			return "infinity"
		}
		return strconv.FormatInt(v, 10)
	case float64:
		if math.IsInf(v, 1) {
			return "infinity"
		}
		return strconv.FormatFloat(v, 'g', -1, 64)
	case bool:
		return strconv.FormatBool(v)
	case map[string]string:
		if len(v) == 0 {
			return "{}"
		}
		return "{" + strings.Join(sortedPairs(v), ", ") + "}"
	case fmt.Stringer:
		if p := reflect.ValueOf(v); p.Kind() == reflect.Pointer && p.IsNil() {
			return ""
		}
		return v.String()
	}
	return ""
}

// sortedPairs shows the entries of m.
func sortedPairs(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for k, v := range m {
		out = append(out, plain(k)+": "+plain(v))
	}
	slices.Sort(out)
	return out
}

// plain shows a text as YAML, in quotes only where it needs them.
func plain(s string) string {
	ok := s != ""
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_' || r == '/'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789.-@:%", r)) {
			ok = false
		}
	}
	if !ok || strings.HasSuffix(s, ":") {
		return strconv.Quote(s)
	}
	return s
}
