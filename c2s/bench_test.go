package c2s_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gabberd/gabberd/c2s"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// The walk of a message from the sender's session into the recipient's socket
// allocates nothing besides the stanza that came in.
func TestRoutedMessageAllocatesNothing(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		h := newHouse(t, func(o *c2s.Options) { o.TLS = encrypted })
		var clients []*stranger
		for _, name := range []string{"romeo", "juliet"} {
			s := h.connect()
			if encrypted {
				s.secure(insecure())
			}
			s.open()
			s.login(name)
			s.bind("x")
			clients = append(clients, s)
		}
		done := make(chan error, 1)
		juliet := clients[1].conn
		if err := clients[1].tcp.SetDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		go func() {
			b := make([]byte, 64<<10)
			for {
				if _, err := juliet.Read(b); err != nil {
					done <- err
					return
				}
			}
		}()
		romeo := h.session("romeo@localhost/x")
		sessions := h.first().Sessions
		st := xmpp.New(xmpp.Message, "chat", romeo.JID, xmpp.MustParse("juliet@localhost/x"), "1", xmpp.TextEl(xmpp.NSClient, "body", "hi"))
		ctx := context.Background()
		n := testing.AllocsPerRun(1000, func() { sessions.Submit(ctx, romeo, st) })
		if n > free {
			t.Errorf("encrypted %v: a routed message allocates %v times", encrypted, n)
		}
		if err := clients[1].tcp.Close(); err != nil {
			t.Fatal(err)
		}
		<-done
	}
}

// BenchmarkChat routes messages from one socket to another. One op is one
// message; what is allocated is the server's: the clients only move bytes.
func BenchmarkChat(b *testing.B) {
	for _, burst := range []int{1, 50} {
		for _, encrypted := range []bool{false, true} {
			name := map[int]string{1: "single", 50: "bursts"}[burst]
			if encrypted {
				name += "-tls"
			}
			b.Run(name, func(b *testing.B) { benchChat(b, burst, encrypted) })
		}
	}
}

func benchChat(b *testing.B, burst int, encrypted bool) {
	h := newHouse(b, func(o *c2s.Options) { o.TLS = encrypted })
	conns := map[string]net.Conn{}
	for _, name := range []string{"romeo", "juliet"} {
		s := h.connect()
		if encrypted {
			s.secure(insecure())
		}
		s.open()
		s.login(name)
		s.bind("x")
		if err := s.tcp.SetDeadline(time.Time{}); err != nil {
			b.Fatal(err)
		}
		conns[name] = s.conn
	}
	const msg = "<message to='juliet@localhost/x' type='chat' id='abcdefgh'><body>But soft, what light through yonder window breaks?</body></message>"
	out := []byte(strings.Repeat(msg, burst))
	size := len(strings.Replace(msg, " type", " from='romeo@localhost/x' type", 1)) * burst
	in := make([]byte, size)
	b.ReportAllocs()
	for i := 0; i < b.N; i += burst {
		if _, err := conns["romeo"].Write(out); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(conns["juliet"], in); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	if !strings.HasSuffix(string(in), "</message>") {
		b.Fatalf("received %s", in)
	}
}

// BenchmarkIdle reports what a connection holds while nothing happens on it. The
// clients' sockets hold nothing in this process but a descriptor.
func BenchmarkIdle(b *testing.B) {
	for _, c := range []struct {
		name string
		up   func(*stranger)
	}{
		{"connected", func(*stranger) {}},
		{"opened", func(s *stranger) { s.open() }},
		{"dripping", func(s *stranger) { s.open(); s.send("<auth" + nsSASL + " mechanism='PLAIN'>") }},
		{"bound", func(s *stranger) { s.open(); s.login("romeo"); s.bind("") }},
	} {
		b.Run(c.name, func(b *testing.B) {
			const n = 500
			for b.Loop() {
				h := newHouse(b, nil)
				before := inUse()
				for range n {
					s := h.connect()
					c.up(s)
					s.got.Reset()
				}
				b.ReportMetric(float64(inUse()-before)/n, "B/conn")
				h.down()
			}
		})
	}
}

func inUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// BenchmarkChatAcknowledged is BenchmarkChat between clients that both acknowledge
// (XEP-0198): the sender asks behind every burst, the recipient answers every
// question, and the sender is told of that.
func BenchmarkChatAcknowledged(b *testing.B) {
	for _, burst := range []int{1, 50} {
		b.Run(map[int]string{1: "single", 50: "bursts"}[burst], func(b *testing.B) { benchAcks(b, burst) })
	}
}

func benchAcks(b *testing.B, burst int) {
	h := newHouse(b, nil)
	h.acks(sm.Acks{MaxQueue: 5000, Timeout: time.Minute})
	romeo, juliet := h.counted("romeo", "x"), h.counted("juliet", "x")
	for _, s := range []*stranger{romeo, juliet} {
		if err := s.tcp.SetDeadline(time.Time{}); err != nil {
			b.Fatal(err)
		}
	}
	told := make(chan struct{})
	go func() {
		defer close(told)
		for p := make([]byte, 4096); ; {
			if _, err := romeo.conn.Read(p); err != nil {
				return
			}
		}
	}()
	const msg = "<message to='juliet@localhost/x' type='chat' id='abcdefgh'><body>But soft, what light through yonder window breaks?</body></message>"
	out := []byte(strings.Repeat(msg, burst) + wantsAck)
	in := make([]byte, len(strings.Replace(msg, " type", " from='romeo@localhost/x' type", 1))*burst+len(wantsAck))
	b.ReportAllocs()
	b.ResetTimer()
	for n := burst; n-burst < b.N; n += burst {
		if _, err := romeo.conn.Write(out); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(juliet.conn, in); err != nil {
			b.Fatal(err)
		}
		if _, err := fmt.Fprintf(juliet.conn, "<a xmlns='"+nsSM+"' h='%d'/>", n); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	if !strings.HasSuffix(string(in), wantsAck) {
		b.Fatalf("received %s", in)
	}
	romeo.tcp.Close()
	<-told
}
