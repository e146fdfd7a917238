package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The unit of systemd is one that systemd understands, and leaves a server that
// is broken into little to do: an exposure of 2 of 10 at most.
func TestUnit(t *testing.T) {
	text, err := os.ReadFile("../dist/gabberd.service")
	if err != nil {
		t.Fatal(err)
	}
	program, err := exec.LookPath("true") // systemd wants one that can be run
	if err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(t.TempDir(), "gabberd.service")
	made := strings.NewReplacer("@BINDIR@/gabberd", program, "@SYSCONFDIR@", "/etc").Replace(string(text))
	if err := os.WriteFile(unit, []byte(made), 0o600); err != nil {
		t.Fatal(err)
	}
	analyze := func(args ...string) string {
		out, err := exec.Command("systemd-analyze", append(args, unit)...).CombinedOutput()
		if err != nil {
			t.Errorf("systemd-analyze %s: %v\n%s", args[0], err, out)
		}
		return string(out)
	}
	analyze("security", "--offline=true", "--threshold=20", "--no-pager")
	if said := analyze("verify"); strings.Contains(said, unit) { // it also speaks of other units
		t.Errorf("systemd-analyze verify: %s", said)
	}
}
