package server

import (
	"bytes"
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestLogLines(t *testing.T) {
	for _, tt := range []struct {
		name string
		say  func(*slog.Logger)
		want string
	}{
		{"a listener", func(l *slog.Logger) { l.Info("listening", "module", "ejabberd_c2s", "address", "[::]:5222") },
			"INFO    listening module=ejabberd_c2s address=[::]:5222\n"},
		{"levels", func(l *slog.Logger) { l.Debug("a"); l.Warn("b"); l.Error("c") }, "DEBUG   a\nWARNING b\nERROR   c\n"},
		{"values", func(l *slog.Logger) {
			l.Info("x", "n", 5, "d", 1500*time.Millisecond, "b", true, "err", errors.New("no such file"), "empty", "", "eq", "a=b")
		}, `INFO    x n=5 d=1.5s b=true err="no such file" empty="" eq="a=b"` + "\n"},
		{"groups", func(l *slog.Logger) {
			l.With("host", "localhost").WithGroup("tls").With("v", 1).Info("x", slog.Group("peer", "port", 5))
		}, "INFO    x host=localhost tls.v=1 tls.peer.port=5\n"},
		{"a forged line", func(l *slog.Logger) { l.Info("x", "user", "romeo\n18:00:00 INFO    logged in") }, `INFO    x user="romeo\n18:00:00 INFO    logged in"` + "\n"},
		{"a forged line in the message", func(l *slog.Logger) { l.Warn("bad\r\nINFO \"good\"") }, `WARNING bad\r\nINFO "good"` + "\n"},
		{"a forged key", func(l *slog.Logger) { l.Info("x", "k\nINFO", 1) }, `INFO    x k\nINFO=1` + "\n"},
		{"a terminal's escapes", func(l *slog.Logger) { l.Info("x", "user", "\x1b[2Jromeo\u202e\x9b") }, `INFO    x user="\x1b[2Jromeo\u202e\x9b"` + "\n"},
		{"quotes", func(l *slog.Logger) { l.Info("x", "user", `a" door="b`) }, `INFO    x user="a\" door=\"b"` + "\n"},
		{"other scripts", func(l *slog.Logger) { l.Info("Grüße", "user", "ромео") }, "INFO    Grüße user=ромео\n"},
		{"a stack", func(l *slog.Logger) { l.Error("x", "stack", "main.f\n\tmain.go:5\x1b\n") }, "ERROR   x stack=\n        | main.f\n        |     main.go:5\\x1b\n"},
	} {
		var b bytes.Buffer
		level := new(slog.LevelVar)
		level.Set(slog.LevelDebug)
		tt.say(slog.New(newLogHandler(&b, level)))
		got := regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} `).ReplaceAllString(b.String(), "")
		if got != tt.want {
			t.Errorf("%s:\n got %q\nwant %q", tt.name, got, tt.want)
		}
	}
}

func TestLogLevelHolds(t *testing.T) {
	var b bytes.Buffer
	level := new(slog.LevelVar)
	l := slog.New(newLogHandler(&b, level)).With("a", 1)
	level.Set(slog.LevelWarn)
	l.Info("quiet")
	l.Warn("loud")
	if got := b.String(); strings.Contains(got, "quiet") || !strings.Contains(got, "loud") {
		t.Errorf("logged %q", got)
	}
}
