package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gabberd/gabberd/xmpp"
)

// scramStep is the server's side of SCRAM (RFC 5802, RFC 7677). It is not that
// of github.com/xdg-go/scram because that can add nothing to its first message,
// where XEP-0474 wants the hash of what was offered, and knows one type of
// channel binding at a time. The tests run that library's client, and mellium's,
// against it.
type scramStep struct {
	h         *Host
	stream    Stream
	hash      Type
	plus      bool     // the mechanism's name ends with -PLUS
	offered   []string // the mechanisms
	downgrade string   // base64 of the hash of what was offered; "" to send none

	asked   bool
	account account
	trial   trial
	binding string // what the client has to repeat: base64 of header and data
	nonce   string
	signed  string // the messages so far
}

func newScram(h *Host, mechanism string, s Stream, list []string) *scramStep {
	name, plus := strings.CutSuffix(mechanism, "-PLUS")
	m := &scramStep{h: h, stream: s, hash: typeOf(scramTypes[name]), plus: plus, offered: list}
	if !h.options().NoDowngradeProtection {
		m.downgrade = offerHash(m.hash, list, h.Bindings(s))
	}
	return m
}

// offerHash is the hash by which a client sees that nobody has changed what it
// was offered (XEP-0474 §5.1).
func offerHash(t Type, mechanisms, bindings []string) string {
	text := strings.Join(slices.Sorted(slices.Values(mechanisms)), "\x1e")
	if len(bindings) > 0 {
		text += "\x1f" + strings.Join(slices.Sorted(slices.Values(bindings)), "\x1e")
	}
	return base64.StdEncoding.EncodeToString(digest(t.hash(), []byte(text)))
}

func (m *scramStep) claims() xmpp.JID { return m.account.user }

func (m *scramStep) step(ctx context.Context, response []byte) ([]byte, *Identity, error) {
	if !utf8.Valid(response) {
		return nil, nil, malformed("The response is not UTF-8")
	}
	if !m.asked {
		m.asked = true
		challenge, err := m.ask(ctx, string(response))
		return challenge, nil, err
	}
	return m.decide(ctx, string(response))
}

// A clientFirst is the first message of a client.
type clientFirst struct {
	header        string // gs2-header
	flag          string // n, y or p=type
	authzid, user string
	nonce         string
	bare          string
}

// parseFirst takes the first message apart (RFC 5802 §7).
func parseFirst(text string) (c clientFirst, ok bool) {
	flag, rest, ok1 := strings.Cut(text, ",")
	authzid, bare, ok2 := strings.Cut(rest, ",")
	parts := strings.Split(bare, ",")
	if !ok1 || !ok2 || len(parts) < 2 {
		return c, false
	}
	c = clientFirst{header: flag + "," + authzid + ",", flag: flag, bare: bare}
	if authzid != "" {
		name, isAuthzid := strings.CutPrefix(authzid, "a=")
		if c.authzid, ok = unescape(name); !isAuthzid || !ok {
			return c, false
		}
	}
	user, isUser := strings.CutPrefix(parts[0], "n=")
	nonce, isNonce := strings.CutPrefix(parts[1], "r=")
	if c.user, ok = unescape(user); !isUser || !ok || !isNonce || !goodNonce(nonce) {
		return c, false
	}
	c.nonce = nonce
	return c, goodExtensions(parts[2:])
}

// goodExtensions reports whether attributes that are not known may be ignored:
// they are letters with a value, and none insists on being understood.
func goodExtensions(parts []string) bool {
	for _, p := range parts {
		if len(p) < 3 || p[1] != '=' || p[0]|0x20 < 'a' || p[0]|0x20 > 'z' || p[0] == 'm' || strings.IndexByte(p, 0) >= 0 {
			return false
		}
	}
	return true
}

// goodNonce reports whether s is printable and of a sensible length.
func goodNonce(s string) bool {
	return s != "" && len(s) <= 256 && isASCII(s) && !strings.Contains(s, " ")
}

// unescape reads a name in which = and , are written =3D and =2C.
func unescape(s string) (string, bool) {
	if s == "" || strings.IndexByte(s, 0) >= 0 {
		return "", false
	}
	parts := strings.Split(s, "=")
	var b strings.Builder
	b.WriteString(parts[0])
	for _, p := range parts[1:] {
		switch {
		case strings.HasPrefix(p, "2C"):
			b.WriteByte(',')
		case strings.HasPrefix(p, "3D"):
			b.WriteByte('=')
		default:
			return "", false
		}
		b.WriteString(p[2:])
	}
	return b.String(), true
}

// ask answers the first message with a salt and a number of iterations, of which
// an account that does not exist has its own.
func (m *scramStep) ask(ctx context.Context, text string) ([]byte, error) {
	c, ok := parseFirst(text)
	if !ok {
		return nil, malformed("This is not the first message of SCRAM")
	}
	if err := m.bind(c); err != nil {
		return nil, err
	}
	user, err := m.h.as(c.user, c.authzid)
	if err != nil {
		return nil, err
	}
	acc, f := m.h.find(ctx, user)
	m.account = acc
	if f != nil {
		return nil, f
	}
	m.trial = m.h.work.trial(nameOf(acc, c.user), acc.passwords, m.hash)
	random := make([]byte, 18)
	_, _ = rand.Read(random) // never fails
	m.nonce = c.nonce + base64.StdEncoding.EncodeToString(random)
	answer := "r=" + m.nonce + ",s=" + base64.StdEncoding.EncodeToString(m.trial.salt) + ",i=" + strconv.Itoa(m.trial.iterations)
	if m.downgrade != "" {
		answer += ",h=" + m.downgrade
	}
	m.signed = c.bare + "," + answer
	return []byte(answer), nil
}

// nameOf is the name whose salt is asked for. Spellings of one account share
// it; a name that can be nobody's has one too.
func nameOf(acc account, claimed string) string {
	if acc.user.IsZero() {
		return "\x00" + claimed
	}
	return acc.user.Local()
}

// bind checks the client's word on channel binding, and works out what it has
// to repeat in its last message (RFC 5802 §6).
func (m *scramStep) bind(c clientFirst) error {
	kind, bound := strings.CutPrefix(c.flag, "p=")
	switch {
	case bound != m.plus:
		return malformed("The mechanism and the channel binding do not belong together")
	case c.flag == "y" && hasPlus(m.offered):
		return &Failure{Condition: "not-authorized", Text: "Channel binding was offered, but somebody has hidden it from you"}
	case c.flag == "y" || c.flag == "n":
		m.binding = base64.StdEncoding.EncodeToString([]byte(c.header))
		return nil
	case !bound:
		return malformed("This is not the first message of SCRAM")
	case !slices.Contains(bindings(m.stream), kind):
		return &Failure{Condition: "not-authorized", Text: "This type of channel binding is not supported"}
	}
	data, err := binding(m.stream, kind)
	if err != nil {
		return temporary(err)
	}
	m.binding = base64.StdEncoding.EncodeToString(append([]byte(c.header), data...))
	return nil
}

// decide checks the proof in the last message.
func (m *scramStep) decide(ctx context.Context, text string) ([]byte, *Identity, error) {
	unproved, proof, ok := cutLast(text, ",p=")
	parts := strings.Split(unproved, ",")
	if !ok || len(parts) < 2 || !strings.HasPrefix(parts[0], "c=") || !strings.HasPrefix(parts[1], "r=") || !goodExtensions(parts[2:]) {
		return nil, nil, malformed("This is not the last message of SCRAM")
	}
	given, err := base64.StdEncoding.Strict().DecodeString(proof)
	h := m.hash.hash()
	if err != nil || len(given) != h().Size() {
		return nil, nil, malformed("This is not the last message of SCRAM")
	}
	if !same(parts[0][2:], m.binding) || !same(parts[1][2:], m.nonce) {
		return nil, nil, wrong()
	}
	m.signed += "," + unproved
	o := m.h.options()
	limit := memory{o.CacheSize, o.CacheLifeTime}
	if !o.UseCache {
		limit.size = 0
	}
	keys, ok := m.h.work.check(m.trial, limit, func(k Keys) bool {
		signature := mac(h, k.Stored, m.signed)
		subtle.XORBytes(signature, signature, given)
		return subtle.ConstantTimeCompare(digest(h, signature), k.Stored) == 1
	})
	if !ok || len(m.account.passwords) == 0 {
		return nil, nil, wrong()
	}
	m.h.improve(ctx, m.account, m.trial.plain)
	verifier := "v=" + base64.StdEncoding.EncodeToString(mac(h, keys.Server, m.signed))
	return []byte(verifier), &Identity{User: m.account.user, Method: m.account.keeper.Name()}, nil
}

// cutLast cuts s at the last sep.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
