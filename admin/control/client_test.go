package control

import (
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// What a client makes of servers that do not keep to the protocol.
func TestStrangeServers(t *testing.T) {
	hello := "{\"gabberd\":1}\n"
	for name, c := range map[string]struct {
		say         string
		unreachable bool
		want        string
	}{
		"says nothing":      {"", true, "EOF"},
		"speaks HTTP":       {"HTTP/1.1 400 Bad Request\r\n\r\n", true, "invalid character"},
		"is newer":          {"{\"gabberd\":2}\n", false, "version 2 of the protocol"},
		"dies at once":      {hello, false, "went away before the command was done"},
		"dies in a line":    {hello + `{"out":"x`, false, "went away before the command was done"},
		"talks nonsense":    {hello + "nonsense\n", false, "invalid character"},
		"sends long lines":  {hello + strings.Repeat("x", maxLine+1), false, "too long"},
		"dies after output": {hello + "{\"out\":\"x\"}\n", false, "EOF"},
	} {
		path := filepath.Join(t.TempDir(), SocketName)
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			conn, err := l.Accept()
			if err == nil {
				_, err = io.WriteString(conn, c.say)
				err = errors.Join(err, conn.Close())
			}
			done <- err
		}()
		exit, err := Call(t.Context(), path, Request{}, io.Discard, io.Discard)
		if exit != 0 || err == nil || errors.Is(err, ErrUnreachable) != c.unreachable {
			t.Errorf("%s: exit %d, %v", name, exit, err)
		} else if !strings.Contains(err.Error(), c.want) && !strings.Contains(err.Error(), "connection reset") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		<-done // may fail: the client leaves servers that talk nonsense
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestOutputThatCannotBeWrittenIsAnError(t *testing.T) {
	path, _ := serve(t, echo)
	r, w := io.Pipe()
	if err := r.CloseWithError(errors.New("disk full")); err != nil {
		t.Fatal(err)
	}
	if _, err := Call(t.Context(), path, Request{}, w, io.Discard); err == nil || err.Error() != "disk full" {
		t.Errorf("got %v", err)
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	path := filepath.Join(b.TempDir(), SocketName)
	l, err := Listen(path, nil)
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- l.Serve(b.Context(), handler(echo)) }()
	b.Cleanup(func() { <-done })
	for b.Loop() {
		if exit, err := Call(b.Context(), path, Request{Command: "x"}, io.Discard, io.Discard); exit != 7 || err != nil {
			b.Fatal(exit, err)
		}
	}
}
