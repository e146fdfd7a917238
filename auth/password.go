package auth

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"fmt"
	"hash"
	"unicode/utf8"

	"github.com/xdg-go/stringprep"
)

// A Type is the form in which a password is stored. The numbers are those of
// the column users.type.
type Type int

// The types. A row of type Legacy was written before there was the column.
const (
	Legacy Type = iota
	Plain
	SHA1
	SHA256
	SHA512
)

// typeOf reads a name of auth_stored_password_types.
func typeOf(name string) Type {
	switch name {
	case "scram_sha1":
		return SHA1
	case "scram_sha256":
		return SHA256
	case "scram_sha512":
		return SHA512
	}
	return Plain
}

// hash is the hash function of a SCRAM type.
func (t Type) hash() func() hash.Hash {
	switch t {
	case SHA256:
		return sha256.New
	case SHA512:
		return sha512.New
	}
	return sha1.New
}

// A Password is an account's password in one of the forms in which it is
// stored. It is never printed.
type Password struct {
	Type  Type
	Plain string // of type Plain
	Keys  Keys   // of the others
	old   bool   // stored in a form that is not written any more
}

// Keys are what a server needs to know of a password for SCRAM (RFC 5802 §3).
type Keys struct {
	Stored, Server []byte
	Salt           []byte
	Iterations     int
}

// equal reports whether two forms are the same.
func (p Password) equal(o Password) bool {
	return p.Type == o.Type && p.Plain == o.Plain && p.Keys.Iterations == o.Keys.Iterations &&
		bytes.Equal(p.Keys.Stored, o.Keys.Stored) && bytes.Equal(p.Keys.Salt, o.Keys.Salt)
}

// Format keeps a password out of logs and messages, whatever the verb.
func (Password) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("(password)")) }

// Format keeps keys out of logs and messages, whatever the verb.
func (Keys) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("(keys)")) }

// MarshalText keeps a password out of JSON.
func (Password) MarshalText() ([]byte, error) { return []byte("(password)"), nil }

// MarshalText keeps keys out of JSON.
func (Keys) MarshalText() ([]byte, error) { return []byte("(keys)"), nil }

const (
	iterations = 4096 // as ejabberd, and the least that RFC 5802 allows
	saltSize   = 16
)

// newPassword makes the form t of a prepared password.
func newPassword(t Type, prepared string) Password {
	if t == Plain {
		return Password{Type: Plain, Plain: prepared}
	}
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails
	return Password{Type: t, Keys: stretch(t, prepared, salt, iterations)}
}

// stretch derives the keys of a password. It takes milliseconds by intention.
func stretch(t Type, prepared string, salt []byte, n int) Keys {
	h := t.hash()
	salted, err := pbkdf2.Key(h, prepared, salt, n, h().Size())
	if err != nil {
		panic("auth: " + err.Error()) // only for lengths that cannot occur
	}
	client := digest(h, mac(h, salted, "Client Key"))
	return Keys{Stored: client, Server: mac(h, salted, "Server Key"), Salt: salt, Iterations: n}
}

func mac(h func() hash.Hash, key []byte, text string) []byte {
	m := hmac.New(h, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

func digest(h func() hash.Hash, b []byte) []byte {
	d := h()
	d.Write(b)
	return d.Sum(nil)
}

// prepare normalises a password as clients do (RFC 4013). Code points that
// Unicode 3.2 did not have are let through.
func prepare(password string) (string, error) {
	if isASCII(password) {
		return password, nil
	}
	if !utf8.ValidString(password) {
		return "", fmt.Errorf("%w: it is not UTF-8", ErrPassword)
	}
	profile := stringprep.SASLprep
	profile.Prohibits = profile.Prohibits[1:] // the first is the table of the unassigned
	out, err := profile.Prepare(password)
	if err != nil || out == "" {
		return "", fmt.Errorf("%w: it has characters that not every client could enter", ErrPassword)
	}
	return out, nil
}

// isASCII reports whether s is printable ASCII, which needs no preparation.
func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// maxPassword is the longest password in bytes.
const maxPassword = 1024

// checkNew prepares a new password, or says why it cannot be one.
func checkNew(password string) (string, error) {
	switch {
	case password == "":
		return "", fmt.Errorf("%w: it is empty", ErrPassword)
	case len(password) > maxPassword:
		return "", fmt.Errorf("%w: it is longer than %d bytes", ErrPassword, maxPassword)
	}
	return prepare(password)
}

// samePlain compares two passwords in a time that does not depend on where
// they differ. What a database holds may never have been prepared.
func samePlain(stored, given string) bool {
	if same(stored, given) {
		return true
	}
	s, err := prepare(stored)
	g, err2 := prepare(given)
	return err == nil && err2 == nil && same(s, g)
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
