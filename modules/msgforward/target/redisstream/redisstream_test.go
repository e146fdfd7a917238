package redisstream_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/gabberd/gabberd/modules/msgforward/target"
	"github.com/gabberd/gabberd/modules/msgforward/target/targettest"
	"github.com/gabberd/gabberd/storage/redis/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func url(s *redistest.Server, password, rest string) string {
	return fmt.Sprintf("redis://:%s@%s/%s", password, s.Addr(), rest)
}

func TestStream(t *testing.T) {
	s := redistest.Start(t, "requirepass "+targettest.Password, "appendonly yes", "appendfsync always")
	targettest.Run(t, targettest.Broker{
		URL:   url(s, targettest.Password, "0?stream=chat"),
		Read:  func(t *testing.T) []targettest.Entry { return read(t, s) },
		Clear: func(*testing.T) { s.Flush() },

		BadPassword: url(s, "wr0ng", "0?stream=chat"),
		Kill:        s.Kill, Resume: s.Resume, Freeze: s.Freeze, Thaw: s.Thaw,
	})
}

// read is what a consumer reads.
func read(t *testing.T, s *redistest.Server) []targettest.Entry {
	t.Helper()
	var out []targettest.Entry
	list, _ := s.Do("XRANGE", "chat", "-", "+").([]any)
	for _, one := range list {
		fields := map[string]string{}
		pairs := one.([]any)[1].([]any)
		for i := 0; i < len(pairs); i += 2 {
			fields[pairs[i].(string)] = pairs[i+1].(string)
		}
		out = append(out, targettest.Entry{
			ID: fields["id"], Group: fields["group"], Type: fields["type"], Body: fields["body"], Head: fields["head:"+targettest.Head],
		})
	}
	return out
}

func TestWhatIsNotAStream(t *testing.T) {
	s := redistest.Start(t)
	s.Do("SET", "chat", "hello")
	o := open(t, "redis://"+s.Addr()+"?stream=chat", target.Options{})
	err := o.Deliver(t.Context(), []target.Message{{ID: "1"}})
	if err == nil || !strings.Contains(err.Error(), "is not a stream") {
		t.Errorf("got %v", err)
	}
}

func TestLengthIsBounded(t *testing.T) {
	s := redistest.Start(t, "stream-node-max-entries 10")
	o := open(t, "redis://"+s.Addr()+"/3?stream=chat&maxlen=20", target.Options{})
	for i := range 200 {
		if err := o.Deliver(t.Context(), []target.Message{{ID: fmt.Sprint(i)}}); err != nil {
			t.Fatal(err)
		}
	}
	if n := fmt.Sprint(s.Do("INFO", "keyspace")); !strings.Contains(n, "db3:keys=1") {
		t.Errorf("it is not in database 3: %s", n)
	}
	s.Do("SWAPDB", 0, 3)
	if n := s.Do("XLEN", "chat").(int64); n < 20 || n > 40 {
		t.Errorf("%d entries are left", n)
	}
}

// With TLS the server must be one that is trusted.
func TestTLS(t *testing.T) {
	s := redistest.StartTLS(t)
	ca, err := os.ReadFile(s.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	trusted := &tls.Config{RootCAs: x509.NewCertPool()}
	trusted.RootCAs.AppendCertsFromPEM(ca)
	batch := []target.Message{{ID: "1"}}
	if err := open(t, s.URL()+"?stream=chat", target.Options{TLS: trusted}).Deliver(t.Context(), batch); err != nil {
		t.Error(err)
	}
	if err := open(t, s.URL()+"?stream=chat", target.Options{}).Deliver(t.Context(), batch); err == nil {
		t.Error("delivered to somebody unknown")
	}
	if n := s.Do("XLEN", "chat"); n != int64(1) {
		t.Errorf("%v entries are there", n)
	}
}

func open(t *testing.T, url string, o target.Options) target.Target {
	t.Helper()
	out, err := target.Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := out.Close(); err != nil {
			t.Error(err)
		}
	})
	return out
}
