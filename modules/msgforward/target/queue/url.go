package queue

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A URL is where a queue is. It is not a net/url.URL, because it may have several
// hosts and its errors must not show a password.
type URL struct {
	Scheme   string
	User     string
	Password string
	Hosts    []string // "host:port", "[::1]:port"; the port may be missing
	Path     string   // what is behind the first slash, unescaped
	HasPath  bool     // there is a slash
	query    url.Values
	asked    []string // options that somebody has read
	wrong    error    // the first option that could not be read
}

// Parse takes a URL apart. The error is a sentence for the operator and does not
// repeat the URL.
func Parse(text string) (*URL, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok || scheme == "" {
		return nil, errors.New("a URL such as redis://host:6379/0?stream=messages is wanted; this has no scheme")
	}
	u := &URL{Scheme: strings.ToLower(scheme)}
	rest, query, _ := strings.Cut(rest, "?")
	rest, path, slash := strings.Cut(rest, "/")
	var err error
	if u.query, err = url.ParseQuery(query); err != nil {
		return nil, fmt.Errorf("what is behind the ? of a %s URL must be NAME=VALUE, joined by &, with %%XX for what is special", u.Scheme)
	}
	u.HasPath = slash
	if u.Path, err = url.PathUnescape(path); err != nil {
		return nil, fmt.Errorf("the path of a %s URL has a %% that is not followed by two hexadecimal digits", u.Scheme)
	}
	hosts := rest
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		hosts = rest[i+1:]
		user, password, _ := strings.Cut(rest[:i], ":")
		var e1, e2 error
		u.User, e1 = url.PathUnescape(user)
		u.Password, e2 = url.PathUnescape(password)
		if e1 != nil || e2 != nil {
			return nil, fmt.Errorf("the user or the password of a %s URL has a %% that is not followed by two hexadecimal digits; write %%25 for a %%", u.Scheme)
		}
	}
	for host := range strings.SplitSeq(hosts, ",") {
		if err := checkHost(host); err != nil {
			return nil, fmt.Errorf("%s URL: %w", u.Scheme, err)
		}
		u.Hosts = append(u.Hosts, host)
	}
	return u, nil
}

func checkHost(host string) error {
	name, port := host, "0"
	if strings.Contains(strings.TrimPrefix(host, "["), ":") && !strings.HasSuffix(host, "]") {
		var err error
		if name, port, err = net.SplitHostPort(host); err != nil {
			return errors.New("a host is NAME, NAME:PORT, or [IPV6]:PORT; a / or @ in a password is written %2F or %40")
		}
	}
	if name == "" || strings.ContainsAny(name, " \t\r\n") {
		return errors.New("the host is missing")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return errors.New("the port must be a number from 1 to 65535; a / or @ in a password is written %2F or %40")
	}
	return nil
}

// Addrs is the hosts, with that port where one has none.
func (u *URL) Addrs(port string) []string {
	out := make([]string, len(u.Hosts))
	for i, host := range u.Hosts {
		if _, _, err := net.SplitHostPort(host); err != nil {
			host = net.JoinHostPort(strings.Trim(host, "[]"), port)
		}
		out[i] = host
	}
	return out
}

// One returns an error when there are several hosts.
func (u *URL) One() error {
	if len(u.Hosts) > 1 {
		return fmt.Errorf("a %s URL has one host", u.Scheme)
	}
	return nil
}

// String is the URL without user, password and options, for people.
func (u *URL) String() string {
	s := u.Scheme + "://" + strings.Join(u.Hosts, ",")
	if u.HasPath {
		s += "/" + u.Path
	}
	return s
}

// Text is the option of that name, empty if it is missing.
func (u *URL) Text(name string) string {
	u.asked = append(u.asked, name)
	return u.query.Get(name)
}

// Has reports whether there is an option of that name, which may be empty.
func (u *URL) Has(name string) bool {
	u.asked = append(u.asked, name)
	return u.query.Has(name)
}

// Number is the option of that name, 0 if it is missing. What is no number above 0
// is an error of Rest.
func (u *URL) Number(name string) int64 {
	text := u.Text(name)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if (err != nil || n <= 0) && u.wrong == nil {
		u.wrong = fmt.Errorf("%s must be a number above 0", name)
	}
	return n
}

// Bool is the option of that name, false if it is missing. What is neither true
// nor false is an error of Rest.
func (u *URL) Bool(name string) bool {
	switch text := u.Text(name); text {
	case "true":
		return true
	case "", "false":
	default:
		if u.wrong == nil {
			u.wrong = fmt.Errorf("%s must be true or false", name)
		}
	}
	return false
}

// Rest is to be called when all options have been read: the error says which of
// them is wrong, given twice, or unknown.
func (u *URL) Rest() error {
	if u.wrong != nil {
		return u.wrong
	}
	for name, values := range u.query {
		switch {
		case !slices.Contains(u.asked, name):
			return fmt.Errorf("a %s URL has no option %q; it has %s", u.Scheme, name, strings.Join(u.asked, ", "))
		case len(values) > 1:
			return fmt.Errorf("%s is given twice", name)
		}
	}
	return nil
}
