package admin_test

import (
	"testing"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/admin/control"
)

func TestTwoWordsAndNamedArguments(t *testing.T) {
	call := door(t, house(t, admin.Options{}))
	for _, c := range []struct {
		command string
		args    []string
		exit    int
		out     string
	}{
		{"check", []string{"account", "romeo", "localhost"}, 0, ""},
		{"check", []string{"account", "tybalt", "localhost"}, 1, ""},
		{"check-account", []string{"--host", "localhost", "--user=romeo"}, 0, ""},
		{"check", []string{"account", "--user", "romeo", "--host", "localhost"}, 0, ""},
		{"check_account", []string{"--user", "romeo", "--nobody", "localhost"}, 2, ""},
		{"check_account", []string{"--user", "romeo", "--user", "romeo"}, 2, ""},
		{"check", []string{"nothing"}, 1, ""},
		{"register", []string{"--user", "localhost", "pw"}, 0, "User --user@localhost successfully registered\n"},
	} {
		exit, out, errOut := call(control.Request{Command: c.command, Args: c.args})
		if exit != c.exit || out != c.out {
			t.Errorf("%s %q: exit %d, %q, %q; want %d, %q", c.command, c.args, exit, out, errOut, c.exit, c.out)
		}
	}
}
