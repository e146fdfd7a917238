package load

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The examples of RFC 5802 §5 and RFC 7677 §3.
func TestScramExamples(t *testing.T) {
	for _, c := range []struct{ mechanism, nonce, challenge, answer, final string }{
		{
			"SCRAM-SHA-1", "fyko+d2lbbFgONRv9qkxdawL",
			"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
			"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
			"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
		},
		{
			"SCRAM-SHA-256", "rOprNGfwEbeRWgbNEkqO",
			"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
			"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
			"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
		},
	} {
		keys, err := openKeyring("")
		if err != nil {
			t.Fatal(err)
		}
		x := newScram(c.mechanism, "user", c.nonce)
		if want := "n,,n=user,r=" + c.nonce; x.start() != want {
			t.Errorf("%s starts with %q", c.mechanism, x.start())
		}
		answer, err := x.answer(c.challenge, keys.salted("user", "pencil", x.hash))
		if err != nil || answer != c.answer {
			t.Errorf("%s answers %q, %v", c.mechanism, answer, err)
		}
		if err := x.finish(c.final); err != nil {
			t.Errorf("%s: %v", c.mechanism, err)
		}
		if x.finish("v=AAAA") == nil || x.finish("") == nil {
			t.Errorf("%s takes any signature of the server", c.mechanism)
		}
	}
}

func TestScramRefusesNonsense(t *testing.T) {
	keys, err := openKeyring("")
	if err != nil {
		t.Fatal(err)
	}
	for _, challenge := range []string{"", "r=other,s=AAAA,i=4096", "r=nonceX,s=!,i=4096", "r=nonceX,s=AAAA,i=0", "r=nonceX,s=AAAA,i=99999999"} {
		x := newScram("SCRAM-SHA-256", "user", "nonce")
		if answer, err := x.answer(challenge, keys.salted("user", "pw", x.hash)); err == nil {
			t.Errorf("%q was answered: %s", challenge, answer)
		}
	}
}

func TestKeyringRemembers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	h := hashOf("SCRAM-SHA-256")
	derive := func(password string, salt string) string {
		t.Helper()
		k, err := openKeyring(path)
		if err != nil {
			t.Fatal(err)
		}
		defer k.close()
		key, err := k.salted("user", password, h)([]byte(salt), 1)
		if err != nil {
			t.Fatal(err)
		}
		return string(key)
	}
	first := derive("pw", "salt")
	if derive("not looked at any more", "salt") != first {
		t.Error("the key was derived again")
	}
	if derive("pw", "other") == first {
		t.Error("the key for another salt is the same")
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("keys lie open: %v %v", info.Mode(), err)
	}
	b, err := os.ReadFile(path)
	if err != nil || strings.Count(string(b), "\n") != 2 {
		t.Errorf("%q, %v", b, err)
	}
}
