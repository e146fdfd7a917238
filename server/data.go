package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// dataVersion counts the changes of what is in a data directory that an older
// server would not understand.
const dataVersion = 1

// lockData makes the data directory ours: nobody else may use it while we do. A
// directory that a newer server has used is refused.
func lockData(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "gabberd.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("use the data directory %s: %w", dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another gabberd uses the data directory %s; stop it (gabberdctl --data %s stop) or give this one its own with --data", dir, dir), f.Close())
	}
	if err := checkVersion(dir); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { f.Close() }, nil
}

func checkVersion(dir string) error {
	name := filepath.Join(dir, "version")
	b, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return os.WriteFile(name, []byte(strconv.Itoa(dataVersion)+"\n"), 0o600)
	}
	if err != nil {
		return fmt.Errorf("use the data directory %s: %w", dir, err)
	}
	v, err := strconv.Atoi(strings.TrimSpace(string(b)))
	switch {
	case err != nil:
		return fmt.Errorf("%s does not hold a number; is %s really gabberd's data directory?", name, dir)
	case v > dataVersion:
		return fmt.Errorf("the data directory %s is from a newer gabberd (version %d, this one knows %d); install that one again", dir, v, dataVersion)
	}
	return nil
}

// controlPath is where gabberdctl finds the server.
func controlPath(data string) string { return filepath.Join(data, "gabberd.sock") }
