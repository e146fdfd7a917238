package auth

import (
	"errors"
	"fmt"

	"github.com/gabberd/gabberd/xmpp/stream"
)

// A Failure is why somebody could not log in, as the client is told (RFC 6120
// §6.5). It says nothing about whether the account exists.
type Failure struct {
	Condition string        // not-authorized, malformed-request, …
	Text      string        // for people; may be empty
	Cause     error         // what went wrong in the server; never for the client
	End       *stream.Error // not nil: the stream has to end with it
}

// Error is for logs.
func (f *Failure) Error() string {
	s := f.Condition
	if f.Text != "" {
		s += ": " + f.Text
	}
	if f.Cause != nil {
		s += " (" + f.Cause.Error() + ")"
	}
	return s
}

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Cause }

// Is reports whether target is a Failure with the same condition.
func (f *Failure) Is(target error) bool {
	t, ok := target.(*Failure)
	return ok && t.Condition == f.Condition
}

// The failures that a client can cause, for errors.Is.
var (
	ErrNotAuthorized    = &Failure{Condition: "not-authorized"}
	ErrMalformed        = &Failure{Condition: "malformed-request"}
	ErrInvalidMechanism = &Failure{Condition: "invalid-mechanism"}
	ErrInvalidAuthzid   = &Failure{Condition: "invalid-authzid"}
	ErrAccountDisabled  = &Failure{Condition: "account-disabled"}
	ErrTemporary        = &Failure{Condition: "temporary-auth-failure"}
)

// Errors of what can be done to accounts.
var (
	ErrExists   = errors.New("the account exists already")
	ErrNoUser   = errors.New("there is no such account")
	ErrName     = errors.New("this cannot be the name of an account")
	ErrPassword = errors.New("this cannot be a password")
	ErrRefused  = errors.New("the account was refused")
	ErrNoStore  = errors.New("no backend in auth_method keeps accounts")
	ErrTaken    = errors.New("the name is in use")
)

// wrong is the one answer to a wrong password, an unknown account and all else
// that a stranger could use to tell these apart.
func wrong() *Failure {
	return &Failure{Condition: "not-authorized", Text: "Invalid username or password"}
}

func malformed(text string) *Failure {
	return &Failure{Condition: "malformed-request", Text: text}
}

func temporary(cause error) *Failure {
	return &Failure{Condition: "temporary-auth-failure", Cause: cause}
}

// failure makes a Failure of any error.
func failure(err error) *Failure {
	if err == nil {
		return nil
	}
	var f *Failure
	if errors.As(err, &f) {
		return f
	}
	return temporary(fmt.Errorf("log in: %w", err))
}
