package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/gabberd/gabberd/admin/control"
)

// Where a server's data is when nobody says so.
const (
	localData  = "data"
	systemData = "/var/lib/gabberd"
)

// options takes the options off the front of words and returns the rest.
func (t *tool) options(words []string) ([]string, error) {
	for len(words) > 0 && strings.HasPrefix(words[0], "-") {
		name, value, given := strings.Cut(words[0], "=")
		words = words[1:]
		if name == "--" {
			break
		}
		if given {
			words = append([]string{value}, words...)
		}
		n, err := t.option(name, words)
		if err != nil {
			return nil, err
		}
		if given && n == 0 {
			return nil, fmt.Errorf("%s takes no value", name)
		}
		words = words[n:]
	}
	return words, nil
}

// option sets an option and returns how many of the words behind it are its
// values.
func (t *tool) option(name string, words []string) (int, error) {
	n, known := map[string]int{
		"--json": 0, "--help": 0, "-h": 0, "--data": 1, "--version": 1, "--auth": 3,
		// ejabberdctl's own
		"--no-timeout": 0, "--spool": 1, "-s": 1,
		"--node": 1, "-n": 1, "--config": 1, "-f": 1, "--config-dir": 1, "-d": 1,
		"--ctl-config": 1, "-c": 1, "--logs": 1, "-l": 1,
	}[name]
	if !known {
		return 0, fmt.Errorf("no such option: %s", name)
	}
	if len(words) < n {
		return 0, fmt.Errorf("%s takes %d more on the command line, not %d", name, n, len(words))
	}
	switch name {
	case "--json":
		t.request.JSON = true
	case "--data", "--spool", "-s":
		t.data = words[0]
	case "--version":
		v, err := strconv.Atoi(words[0])
		if err != nil || v < 0 {
			return 0, fmt.Errorf("--version takes the number of an API version, not %q", words[0])
		}
		t.request.Version = &v
	case "--auth":
		t.request.Auth = &control.Auth{User: words[0], Host: words[1], Password: words[2]}
	case "--help", "-h":
		return 0, fmt.Errorf("for the commands of the server, type: %s help", t.program)
	case "--no-timeout":
		// We have none.
	default:
		t.complain(0, "Note: %s has no meaning for gabberd and is ignored.\n", name)
	}
	return n, nil
}

// socket is the path of the control socket. Without a word from the caller it
// is that of the first usual directory that has one. A directory of somebody
// else's is not taken just because it lies where the caller happens to be: what
// waits there could be after passwords.
func (t *tool) socket() (string, error) {
	if t.data != "" {
		return filepath.Join(t.data, control.SocketName), nil
	}
	for _, dir := range []string{localData, systemData} {
		if dir == localData && !mine(dir) {
			continue
		}
		path := filepath.Join(dir, control.SocketName)
		if _, err := os.Lstat(path); err == nil || os.IsPermission(err) {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w: there is no %s in ./%s or %s", control.ErrUnreachable, control.SocketName, localData, systemData)
}

// mine reports whether dir belongs to the user who calls.
func mine(dir string) bool {
	info, err := os.Stat(dir)
	if err != nil {
		return false
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(owner.Uid) == os.Geteuid()
}
