package config

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// units are the names of time spans, shortest first.
var units = []struct {
	long, short string
	names       []string
	d           time.Duration
}{
	{"millisecond", "ms", []string{"ms", "msec", "msecs", "millisec", "millisecs", "millisecond", "milliseconds"}, time.Millisecond},
	{"second", "s", []string{"s", "sec", "secs", "second", "seconds"}, time.Second},
	{"minute", "m", []string{"m", "min", "mins", "minute", "minutes"}, time.Minute},
	{"hour", "h", []string{"h", "hour", "hours"}, time.Hour},
	{"day", "d", []string{"d", "day", "days"}, 24 * time.Hour},
}

// errSpan says that a text is no time span.
var errSpan = errors.New(`not a time such as 30, 30s or "5 minutes"`)

// ParseDuration reads ejabberd's forms of a time span: a bare number counts
// base; "30s", "5 minutes", "1 hour" and "1h30m" say what they count.
func ParseDuration(s string, base time.Duration) (time.Duration, error) {
	s = strings.ToLower(strings.TrimSpace(s))
	var sum time.Duration
	for first := true; first || s != ""; first = false {
		digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
		n, err := strconv.ParseInt(s[:digits], 10, 64)
		if err != nil {
			return 0, errSpan
		}
		s = strings.TrimLeft(s[digits:], " \t")
		word := s[:len(s)-len(strings.TrimLeft(s, "abcdefghijklmnopqrstuvwxyz"))]
		s = strings.TrimLeft(s[len(word):], " \t")
		unit := base
		if word != "" || !first || s != "" {
			if unit, err = unitOf(word); err != nil {
				return 0, err
			}
		}
		if n > int64((Infinity-1-sum)/unit) {
			return 0, errSpan
		}
		sum += time.Duration(n) * unit
	}
	return sum, nil
}

func unitOf(name string) (time.Duration, error) {
	for _, u := range units {
		if slices.Contains(u.names, name) {
			return u.d, nil
		}
	}
	return 0, errSpan
}

// ParseSize reads a number of bytes: "65536", "64 KB", "10MB", "1 GiB".
func ParseSize(s string) (int64, error) {
	s = strings.ToLower(strings.TrimSpace(s))
	digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
	n, err := strconv.ParseInt(s[:digits], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s is not a number of bytes", quote(s))
	}
	unit := strings.TrimSpace(s[digits:])
	for i, names := range []string{" b byte bytes ", " k kb kib ", " m mb mib ", " g gb gib ", " t tb tib "} {
		if unit == "" || strings.Contains(names, " "+unit+" ") {
			if n > math.MaxInt64>>(10*i) {
				return 0, fmt.Errorf("%s is too large", quote(s))
			}
			return n << (10 * i), nil
		}
	}
	return 0, fmt.Errorf("%s is not a number of bytes", quote(s))
}

// inUnits returns d as a whole number of the largest unit that fits, and the
// index of that unit; -1 when none does.
func inUnits(d time.Duration) (int64, int) {
	for i := len(units) - 1; i >= 0; i-- {
		if d%units[i].d == 0 {
			return int64(d / units[i].d), i
		}
	}
	return 0, -1
}

// longSpan says d as in "5 minutes".
func longSpan(d time.Duration) string {
	if d == Infinity {
		return "infinity"
	}
	if d == 0 {
		return "0"
	}
	n, i := inUnits(d)
	if i < 0 {
		return d.String()
	}
	if n == 1 {
		return "1 " + units[i].long
	}
	return fmt.Sprintf("%d %ss", n, units[i].long)
}

// briefSpan says d as in "5m".
func briefSpan(d time.Duration) string {
	if d == Infinity {
		return "infinity"
	}
	n, i := inUnits(d)
	if i < 0 {
		return d.String()
	}
	if d == 0 {
		return "0s"
	}
	return fmt.Sprintf("%d%s", n, units[i].short)
}
