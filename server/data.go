package server

import (
	"errors"
	"fmt"
	"os"
	"os/user"
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
		return nil, fmt.Errorf("make the data directory: %w; name another one with --data, or make it for the user that the server runs as", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "gabberd.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	switch {
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("the data directory %s cannot be written to by the user that the server runs as (%s); give it to that user, or name another directory with --data", dir, whoami())
	case err != nil:
		return nil, fmt.Errorf("use the data directory %s: %w", dir, err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case err != nil && !errors.Is(err, syscall.EWOULDBLOCK):
		return nil, errors.Join(fmt.Errorf("lock the data directory %s: %w", dir, err), f.Close())
	case err != nil:
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
		if err := os.WriteFile(name, []byte(strconv.Itoa(dataVersion)+"\n"), 0o600); err != nil {
			return fmt.Errorf("use the data directory %s: %w", dir, err)
		}
		return nil
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

// whoami names the user that this process runs as.
func whoami() string {
	if u, err := user.LookupId(strconv.Itoa(os.Geteuid())); err == nil {
		return u.Username
	}
	return "uid " + strconv.Itoa(os.Geteuid())
}

// controlPath is where gabberdctl finds the server.
func controlPath(data string) string { return filepath.Join(data, "gabberd.sock") }
