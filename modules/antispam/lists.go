package antispam

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/gabberd/gabberd/xmpp"
)

// maxFile bounds a file with a list, in bytes.
const maxFile = 64 << 20

// lists is what the files say. It is never changed.
type lists struct {
	jids    map[string]bool // bare
	urls    map[string]bool
	domains map[string]bool
	good    map[string]bool // domains
}

// readLists reads all files. The error names the file and the line.
func readLists(o options) (*lists, error) {
	l := &lists{}
	var errs []error
	for _, f := range []struct {
		name string
		to   *map[string]bool
		read func(string) (string, error)
	}{
		{o.JIDs, &l.jids, bareAddress}, {o.URLs, &l.urls, link}, {o.Domains, &l.domains, domain}, {o.Whitelist, &l.good, domain},
	} {
		if f.name == none || f.name == "" {
			continue
		}
		set, err := readList(f.name, f.read)
		errs = append(errs, err)
		*f.to = set
	}
	return l, errors.Join(errs...)
}

func readList(name string, read func(string) (string, error)) (set map[string]bool, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read a list of spam: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if info, err := f.Stat(); err != nil || info.Size() > maxFile {
		return nil, errors.Join(fmt.Errorf("%s is no list of at most %d bytes", name, maxFile), err)
	}
	set = map[string]bool{}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		entry, err := read(text)
		if err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", name, n, err)
		}
		set[entry] = true
	}
	return set, lines.Err()
}

func bareAddress(text string) (string, error) {
	j, err := xmpp.Parse(text)
	return j.Bare().String(), err
}

func domain(text string) (string, error) {
	j, err := xmpp.NewJID("", text, "")
	return j.String(), err
}

// link is how links are compared: as they are, but for capitals and for what
// follows them in a sentence.
func link(text string) (string, error) {
	text = strings.ToLower(strings.TrimRight(text, ".,;:!?)]}>'\"/"))
	if !strings.HasPrefix(text, "http://") && !strings.HasPrefix(text, "https://") {
		return "", fmt.Errorf("%q is no link", text)
	}
	return text, nil
}
