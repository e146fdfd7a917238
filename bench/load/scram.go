package load

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
)

// mechanisms are what we can do, the best first. Others than SCRAM with
// SHA-256 are for servers whose users have no such keys.
func mechanisms() []string { return []string{"SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"} }

func hashOf(mechanism string) func() hash.Hash {
	if mechanism == "SCRAM-SHA-1" {
		return sha1.New
	}
	return sha256.New
}

// A scram is one login with SCRAM (RFC 5802), without channel binding.
type scram struct {
	hash   func() hash.Hash
	first  string // client-first-message-bare
	nonce  string
	server []byte // the signature that the server must show
}

func newScram(mechanism, user, nonce string) *scram {
	if nonce == "" {
		nonce = rand.Text()
	}
	return &scram{hash: hashOf(mechanism), first: "n=" + user + ",r=" + nonce, nonce: nonce}
}

// start is the client's first message.
func (s *scram) start() string { return "n,," + s.first }

// answer is the client's final message. salted derives the password.
func (s *scram) answer(challenge string, salted func(salt []byte, rounds int) ([]byte, error)) (string, error) {
	var nonce, salt string
	var rounds int
	for part := range strings.SplitSeq(challenge, ",") {
		switch name, value, _ := strings.Cut(part, "="); name {
		case "r":
			nonce = value
		case "s":
			salt = value
		case "i":
			rounds, _ = strconv.Atoi(value)
		}
	}
	raw, err := base64.StdEncoding.DecodeString(salt)
	if err != nil || rounds < 1 || rounds > 1e6 || !strings.HasPrefix(nonce, s.nonce) {
		return "", fmt.Errorf("SCRAM challenge %q makes no sense", challenge)
	}
	key, err := salted(raw, rounds)
	if err != nil {
		return "", err
	}
	without := "c=biws,r=" + nonce
	message := s.first + "," + challenge + "," + without
	client := s.mac(key, "Client Key")
	stored := s.hash()
	stored.Write(client)
	proof := s.mac(stored.Sum(nil), message)
	for i := range proof {
		proof[i] ^= client[i]
	}
	s.server = s.mac(s.mac(key, "Server Key"), message)
	return without + ",p=" + base64.StdEncoding.EncodeToString(proof), nil
}

// finish checks what the server sends along with its success.
func (s *scram) finish(final string) error {
	got, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(final, "v="))
	if err != nil || !bytes.Equal(got, s.server) {
		return errors.New("the server's SCRAM signature is wrong")
	}
	return nil
}

func (s *scram) mac(key []byte, text string) []byte {
	m := hmac.New(s.hash, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// A keyring remembers derived passwords, in a file if it has one, so that
// logins are measured and not our own PBKDF2.
type keyring struct {
	mu   sync.Mutex
	file *os.File // nil: in memory only
	keys map[string]savedKey
}

type savedKey struct {
	User   string `json:"user"`
	Salt   []byte `json:"salt"`
	Rounds int    `json:"rounds"`
	Key    []byte `json:"key"`
}

func openKeyring(path string) (*keyring, error) {
	k := &keyring{keys: map[string]savedKey{}}
	if path == "" {
		return k, nil
	}
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("keys: %w", err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(old)); lines.Scan(); {
		var s savedKey
		if json.Unmarshal(lines.Bytes(), &s) == nil {
			k.keys[s.User] = s
		}
	}
	k.file, err = os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	return k, nil
}

// salted derives a user's password, or remembers it. name tells users and
// mechanisms apart.
func (k *keyring) salted(name, password string, h func() hash.Hash) func([]byte, int) ([]byte, error) {
	return func(salt []byte, rounds int) ([]byte, error) {
		k.mu.Lock()
		s, ok := k.keys[name]
		k.mu.Unlock()
		if ok && s.Rounds == rounds && bytes.Equal(s.Salt, salt) {
			return s.Key, nil
		}
		key, err := pbkdf2.Key(h, password, salt, rounds, h().Size())
		if err != nil {
			return nil, fmt.Errorf("PBKDF2: %w", err)
		}
		return key, k.save(savedKey{name, salt, rounds, key})
	}
}

func (k *keyring) save(s savedKey) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys[s.User] = s
	if k.file == nil {
		return nil
	}
	line, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	if _, err := k.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	return nil
}

func (k *keyring) close() error {
	if k.file == nil {
		return nil
	}
	return k.file.Close()
}
