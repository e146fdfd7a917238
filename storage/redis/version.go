package redis

import (
	"fmt"
	"strconv"
	"strings"
)

// version is what a server says that it is.
type version struct {
	product string // Redis or Valkey
	number  string // as the product counts
	compat  []int  // of Redis, whose commands it understands
	mode    string // standalone, sentinel or cluster
}

// least is the oldest Redis that will do.
var least = []int{3, 2}

func (v version) String() string { return v.product + " " + v.number }

func (v version) atLeast(major, minor int) bool { return !older(v.compat, []int{major, minor}) }

// parseInfo reads the answer of INFO server, and refuses what is too old.
func parseInfo(info string) (version, error) {
	fields := map[string]string{}
	for line := range strings.Lines(info) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[name] = value
		}
	}
	v := version{product: "Redis", number: fields["redis_version"], mode: fields["redis_mode"]}
	compat := v.number
	if own := fields["valkey_version"]; own != "" {
		v.product, v.number = "Valkey", own
		if compat == "" {
			compat = own // it began at 7.2, and is compatible with that
		}
	}
	numbers, err := parseNumbers(compat)
	if err != nil {
		return version{}, fmt.Errorf("its version %q is not understood: version %d.%d or newer is needed", compat, least[0], least[1])
	}
	v.compat = numbers
	if older(numbers, least) {
		return version{}, fmt.Errorf("it is version %s, which is too old: install version %d.%d or newer", v.number, least[0], least[1])
	}
	if v.mode == "sentinel" {
		return version{}, fmt.Errorf("it is a Sentinel, which holds no data: write redis_server: sentinel://MASTER@HOST:PORT")
	}
	return v, nil
}

// parseNumbers reads 7.0.15, also with something behind it: 7.2-rc1.
func parseNumbers(text string) ([]int, error) {
	text, _, _ = strings.Cut(text, "-")
	var numbers []int
	for part := range strings.SplitSeq(text, ".") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%q is not a version", text)
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

// older compares versions as numbers: 10 is newer than 9.
func older(a, b []int) bool {
	for i := range b {
		n := 0
		if i < len(a) {
			n = a[i]
		}
		if n != b[i] {
			return n < b[i]
		}
	}
	return false
}
