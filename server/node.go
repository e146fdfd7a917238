package server

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxNode bounds the name of a node, in bytes.
const maxNode = 200

// node is the name of this node, as ejabberd's commands would have it.
func (opt Options) node() string {
	if opt.Node != "" {
		return opt.Node
	}
	return "gabberd@" + machine()
}

func machine() string {
	name, err := os.Hostname()
	if err != nil || checkNode(name) != nil {
		return "localhost"
	}
	return name
}

// checkNode refuses names that would not be one word of a key in Redis.
func checkNode(name string) error {
	bad := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("@._-", r))
	}
	if len(name) > maxNode || strings.ContainsFunc(name, bad) {
		return fmt.Errorf("%q cannot be the name of a node: use letters, digits and @ . _ -, at most %d", name, maxNode)
	}
	return nil
}

// instance tells this data directory on this machine apart from all others. Who
// has it and its lock knows that an earlier server on it has ended.
func instance(dir string) (string, error) {
	file := filepath.Join(dir, "instance")
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		b = []byte(rand.Text() + "\n")
		err = os.WriteFile(file, b, 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("the data directory's mark: %w", err)
	}
	return strings.TrimSpace(string(b)) + "@" + machine(), nil
}
