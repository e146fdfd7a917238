package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// An Error is why a command was not done, in a form that every door can tell
// its callers in its own way. Any other error of a command is told as its text.
type Error struct {
	Reason string // one word, ejabberd's where it has one
	Code   int    // ejabberd's number in the HTTP API, 0 if none
	Status int    // of the HTTP answer
	Exit   int    // of gabberdctl
	Text   string // a sentence for a person
}

// The reasons that doors tell apart. Commands return them With a text.
var (
	Usage           = &Error{Reason: "invalid_parameter", Status: http.StatusBadRequest, Exit: ExitUsage}
	NotEnabled      = &Error{Reason: "not_enabled", Status: http.StatusBadRequest, Exit: ExitError}
	Unauthenticated = &Error{Reason: "invalid_account_data", Code: 10, Status: http.StatusUnauthorized, Exit: ExitError}
	Unprivileged    = &Error{Reason: "account_unprivileged", Code: 31, Status: http.StatusForbidden, Exit: ExitError}
	Denied          = &Error{Reason: "access_rules_unauthorized", Code: 32, Status: http.StatusForbidden, Exit: ExitError}
	Unknown         = &Error{Reason: "unknown_command", Code: 44, Status: http.StatusNotFound, Exit: ExitError}
	NotFound        = &Error{Reason: "not_exists", Status: http.StatusNotFound, Exit: ExitError}
	Conflict        = &Error{Reason: "conflict", Status: http.StatusConflict, Exit: ExitError}
	Failed          = &Error{Reason: "error", Status: http.StatusInternalServerError, Exit: ExitError}
	Internal        = &Error{Reason: "internal_error", Status: http.StatusInternalServerError, Exit: ExitError}
)

// Exit codes of ejabberdctl.
const (
	ExitOK          = 0
	ExitError       = 1
	ExitUsage       = 2
	ExitUnreachable = 3
)

// With returns the error with a sentence for a person, formatted as by
// fmt.Sprintf.
func (e *Error) With(format string, args ...any) *Error {
	c := *e
	c.Text = fmt.Sprintf(format, args...)
	return &c
}

// WithCode returns the error with ejabberd's number for it (10090 for an
// account that exists).
func (e *Error) WithCode(code int) *Error {
	c := *e
	c.Code = code
	return &c
}

// Error is the sentence, or the reason where there is none.
func (e *Error) Error() string {
	if e.Text == "" {
		return e.Reason
	}
	return e.Text
}

// Is reports whether target has the same reason, whatever its text.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Reason == e.Reason
}

// APIError returns what the HTTP API answers for err: as ejabberd, an object
// with status, code and message, or the text alone for wrong requests.
func APIError(err error) (status int, body []byte) {
	var e *Error
	if !errors.As(err, &e) {
		return http.StatusBadRequest, textJSON(err.Error())
	}
	if e.Is(Usage) || e.Is(NotEnabled) || e.Is(Internal) {
		return e.Status, textJSON(e.Error())
	}
	return e.Status, fmt.Appendf(nil, `{"status":"error","code":%d,"message":%s}`, e.Code, textJSON(e.Error()))
}

// ctlError is the line that gabberdctl prints for err, and its exit code.
func ctlError(err error) (line string, exit int) {
	var e *Error
	if !errors.As(err, &e) {
		return "Error: " + err.Error(), ExitError
	}
	switch {
	case e.Is(Usage), e.Is(Unknown), e.Is(NotEnabled), e.Text == "":
		line = "Error: " + e.Error()
	default:
		line = "Error: " + e.Reason + ": " + e.Text
	}
	if e.Code > 0 && e.Code <= 255 && e.Status == http.StatusInternalServerError {
		return line, e.Code // a command that chose its exit code
	}
	return line, e.Exit
}

// textJSON is s as a JSON text, as people would write it.
func textJSON(s string) json.RawMessage {
	b, err := encodeJSON(s)
	if err != nil {
		panic(err) // a text always has a form in JSON
	}
	return b
}
