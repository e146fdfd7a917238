package roster_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCommands(t *testing.T) {
	s := start(t, "")
	romeo, juliet := interested(t, s, "romeo@localhost/orchard"), interested(t, s, "juliet@localhost/balcony")
	if out, err := s.Command("add_rosteritem", "romeo", "localhost", "juliet", "localhost", "Jul", "Friends,Lovers", "both"); err != nil || out != "" {
		t.Fatalf("%q, %v", out, err)
	}
	expect(t, romeo, "push juliet@localhost both")
	expect(t, juliet, "from romeo@localhost/orchard")
	if out, err := s.Command("get_roster", "romeo", "localhost"); err != nil || out != "juliet@localhost\tJul\tboth\tnone\tFriends,Lovers" {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := s.Command("get_roster_count", "romeo", "localhost"); err != nil || out != "1" {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := s.Command("delete_rosteritem", "romeo", "localhost", "juliet", "localhost"); err != nil {
		t.Fatal(err)
	}
	expect(t, romeo, "push juliet@localhost remove")
	expect(t, juliet, "unavailable from romeo@localhost/orchard")
	for _, bad := range [][]string{
		{"add_rosteritem", "nobody", "localhost", "juliet", "localhost", "x", "x", "both"},
		{"add_rosteritem", "romeo", "localhost", "a@b", "localhost", "x", "x", "both"},
		{"add_rosteritem", "romeo", "localhost", "juliet", "localhost", "x", "x", "friend"},
		{"delete_rosteritem", "nobody", "localhost", "juliet", "localhost"},
		{"get_roster", "nobody", "localhost"},
		{"process_rosteritems", "list", "friend", "any", "any", "any"},
	} {
		if out, err := s.Command(bad[0], bad[1:]...); err == nil {
			t.Errorf("%v: no error but %q", bad, out)
		}
	}
}

func TestPushAllToAll(t *testing.T) {
	s := start(t, "")
	for _, u := range []string{"romeo", "juliet", "nurse"} {
		s.Register(u+"@localhost", "secret")
	}
	if _, err := s.Command("push_alltoall", "localhost", "Verona"); err != nil {
		t.Fatal(err)
	}
	want := "juliet@localhost\tjuliet\tboth\tnone\tVerona\nnurse@localhost\tnurse\tboth\tnone\tVerona"
	if out, err := s.Command("get_roster", "romeo", "localhost"); err != nil || out != want {
		t.Errorf("%q, %v", out, err)
	}
}

func TestProcessRosterItems(t *testing.T) {
	s := start(t, "")
	for _, u := range []string{"romeo", "juliet", "nurse"} {
		s.Register(u+"@localhost", "secret")
	}
	for _, x := range [][]string{{"romeo", "juliet", "both"}, {"romeo", "nurse", "from"}, {"juliet", "romeo", "both"}, {"nurse", "romeo", "none"}} {
		if _, err := s.Command("add_rosteritem", x[0], "localhost", x[1], "localhost", "", "", x[2]); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range []struct{ words, want string }{
		{"list any any any any", "juliet>romeo nurse>romeo romeo>juliet romeo>nurse"},
		{"list from:none any any any", "nurse>romeo romeo>nurse"},
		{"list any any romeo@* any", "romeo>juliet romeo>nurse"},
		{"list any any any nurse@localhost:jul*@loc*", "romeo>juliet romeo>nurse"},
		{"list any out any any", ""},
		{"delete both any romeo@localhost any", "romeo>juliet"},
		{"list any any any any", "juliet>romeo nurse>romeo romeo>nurse"},
	} {
		out, err := s.Command("process_rosteritems", strings.Fields(x.words)...)
		out = strings.NewReplacer("@localhost", "", "\t", ">", "\n", " ").Replace(out)
		if err != nil || out != x.want {
			t.Errorf("%s: %q, %v; want %q", x.words, out, err, x.want)
		}
	}
}

func TestPushOfAFile(t *testing.T) {
	s := start(t, "")
	for _, u := range []string{"romeo", "juliet"} {
		s.Register(u+"@localhost", "secret")
	}
	file := filepath.Join(t.TempDir(), "roster.txt")
	text := `[{<<"romeo">>, <<"localhost">>, <<"Verona">>, <<"Romeo">>},
		{<<"juliet">>, <<"localhost">>, <<"Verona">>, <<"Júlia"/utf8>>},
		{"pope", "rome.example", "", "Pope"}].` + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	want := "juliet@localhost\tJúlia\tboth\tnone\tVerona\npope@rome.example\tPope\tboth\tnone\t"
	for _, words := range [][]string{{"push_roster", file, "romeo", "localhost"}, {"push_roster_all", file}} {
		if _, err := s.Command(words[0], words[1:]...); err != nil {
			t.Fatal(err)
		}
		if out, err := s.Command("get_roster", "romeo", "localhost"); err != nil || out != want {
			t.Errorf("%s: %q, %v", words[0], out, err)
		}
	}
	if out, err := s.Command("get_roster_count", "juliet", "localhost"); err != nil || out != "2" {
		t.Errorf("juliet has %s, %v", out, err)
	}
	for _, bad := range []string{"", "[", "x.", "[x].", "[{a, b}].", `[{<<"a@b">>, <<"c">>, <<>>, <<>>}].`, `[{[], <<"c">>, 1, <<>>}].`} {
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := s.Command("push_roster", file, "romeo", "localhost"); err == nil {
			t.Errorf("%q is taken: %q", bad, out)
		}
	}
	if _, err := s.Command("push_roster", file+"x", "romeo", "localhost"); err == nil {
		t.Error("a file that is not there is taken")
	}
}
