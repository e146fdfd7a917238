package kafka_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"go.uber.org/goleak"

	"github.com/gabberd/gabberd/modules/msgforward/target"
	"github.com/gabberd/gabberd/modules/msgforward/target/targettest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const topic = "chat"

// cluster is two brokers in memory, which keep records on the disk.
type cluster struct {
	t       *testing.T
	options []kfake.Opt
	fake    *kfake.Cluster
	gate    gate
}

func start(t *testing.T, options ...kfake.Opt) *cluster {
	t.Helper()
	c := &cluster{t: t}
	c.options = append(options, kfake.NumBrokers(2), kfake.DataDir(t.TempDir()), kfake.SyncWrites(), kfake.ListenFn(c.gate.listen), kfake.EnableSASL(),
		kfake.Superuser("SCRAM-SHA-256", targettest.User, targettest.Password), kfake.SeedTopics(4, topic))
	c.resume()
	var ports []int
	for _, addr := range c.fake.ListenAddrs() {
		var port int
		if _, err := fmt.Sscanf(addr, "127.0.0.1:%d", &port); err != nil {
			t.Fatal(err)
		}
		ports = append(ports, port)
	}
	c.options = append(c.options, kfake.Ports(ports...))
	t.Cleanup(func() { c.fake.Close() })
	return c
}

func (c *cluster) resume() {
	c.t.Helper()
	fake, err := kfake.NewCluster(c.options...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.fake = fake
}

func (c *cluster) url(password, rest string) string {
	return fmt.Sprintf("kafka://%s:%s@%s/%s", targettest.User, password, strings.Join(c.fake.ListenAddrs(), ","), rest)
}

// client is somebody else's.
func (c *cluster) client(options ...kgo.Opt) *kgo.Client {
	c.t.Helper()
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(c.fake.ListenAddrs()...),
		kgo.SASL(scram.Auth{User: targettest.User, Pass: targettest.Password}.AsSha256Mechanism()))...)
	if err != nil {
		c.t.Fatal(err)
	}
	return client
}

// clear makes the topic anew.
func (c *cluster) clear(t *testing.T) {
	client := c.client()
	defer client.Close()
	admin := kadm.NewClient(client)
	if _, err := admin.DeleteTopics(t.Context(), topic); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.CreateTopic(t.Context(), 4, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
}

// read is what a consumer reads.
func (c *cluster) read(t *testing.T) (out []targettest.Entry) {
	client := c.client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	left := int64(0)
	ends.Each(func(o kadm.ListedOffset) { left += o.Offset })
	partitions := map[string]int32{}
	for ctx := t.Context(); left > 0 && ctx.Err() == nil; {
		fetched := client.PollFetches(ctx)
		if err := fetched.Err(); err != nil {
			t.Fatal(err)
		}
		fetched.EachRecord(func(r *kgo.Record) {
			left--
			head := map[string]string{}
			for _, h := range r.Headers {
				head[h.Key] = string(h.Value)
			}
			if was, ok := partitions[string(r.Key)]; r.Key != nil && ok && was != r.Partition {
				t.Errorf("%s is in two partitions", r.Key)
			}
			partitions[string(r.Key)] = r.Partition
			out = append(out, targettest.Entry{ID: head["id"], Group: string(r.Key), Type: head["content-type"], Body: string(r.Value), Head: head[targettest.Head]})
		})
	}
	return out
}

func TestKafka(t *testing.T) {
	c := start(t)
	targettest.Run(t, targettest.Broker{
		URL: c.url(targettest.Password, topic+"?sasl=scram-sha-256"), Read: c.read, Clear: c.clear,
		BadPassword: c.url("wr0ng", topic+"?sasl=scram-sha-256"),
		Missing:     c.url(targettest.Password, "gossip?sasl=scram-sha-256"), Advice: `the topic "gossip" is not there`,
		Kill: func() { c.fake.Close() }, Resume: c.resume, Freeze: c.gate.shut, Thaw: c.gate.open,
	})
}

// A broker says that a password is wrong, or hangs up, as the one in memory does.
func TestWrongPasswordIsTold(t *testing.T) {
	c := start(t)
	c.fake.ControlKey(int16(kmsg.SASLAuthenticate), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.fake.KeepControl()
		resp := r.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		resp.ErrorCode = kerr.SaslAuthenticationFailed.Code
		return resp, nil, true
	})
	o, err := target.Open(t.Context(), c.url("wr0ng", topic+"?sasl=plain"), target.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	err = o.Deliver(t.Context(), []target.Message{{ID: "1"}})
	if err == nil || !strings.Contains(err.Error(), "correct the user, the password and sasl") || strings.Contains(err.Error(), "wr0ng") {
		t.Errorf("got %v", err)
	}
}

// What is too large is refused before anything is sent.
func TestTooLarge(t *testing.T) {
	c := start(t)
	o, err := target.Open(t.Context(), c.url(targettest.Password, topic+"?sasl=scram-sha-256"), target.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	err = o.Deliver(t.Context(), []target.Message{{ID: "1", Body: []byte("x")}, {ID: "2", Body: make([]byte, 1_100_000)}})
	if f := (*target.Final)(nil); !errors.As(err, &f) {
		t.Errorf("got %v", err)
	}
	if err := o.Deliver(t.Context(), []target.Message{{ID: "3", Body: make([]byte, 990_000)}}); err != nil {
		t.Error(err)
	}
	if got := c.read(t); len(got) != 1 || got[0].ID != "3" {
		t.Errorf("%d messages were read", len(got))
	}
}

func TestURL(t *testing.T) {
	for _, wrong := range []string{
		"kafka://host", "kafka://host/a b", "kafka://u:p@host/t", "kafka://host/t?sasl=plain", "kafka://u:p@host/t?sasl=magic",
		"kafka://host/t?tls=maybe", "kafka://host/t?group=x",
	} {
		if err := target.Check(wrong); err == nil {
			t.Errorf("%s was taken", wrong)
		}
	}
	for _, right := range []string{"kafka://a,b:1/t", "kafka://u:p@a/t?sasl=scram-sha-512&tls=true", "kafka://u:p@a/t?sasl=plain"} {
		if err := target.Check(right); err != nil {
			t.Errorf("%s: %v", right, err)
		}
	}
}

// gate holds what comes over connections back while it is shut.
type gate struct {
	mu   sync.Mutex
	stop chan struct{} // nil while it is open
}

func (g *gate) shut() { g.mu.Lock(); defer g.mu.Unlock(); g.stop = make(chan struct{}) }
func (g *gate) open() { g.mu.Lock(); defer g.mu.Unlock(); close(g.stop); g.stop = nil }

func (g *gate) wait() {
	g.mu.Lock()
	stop := g.stop
	g.mu.Unlock()
	if stop != nil {
		<-stop
	}
}

func (g *gate) listen(network, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), network, addr)
	return gated{l, g}, err
}

type gated struct {
	net.Listener
	*gate
}

// Accept hands on a connection behind the gate.
func (l gated) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return held{c, l.gate}, err
}

type held struct {
	net.Conn
	*gate
}

// Read waits at the gate with what it has read.
func (c held) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.wait()
	return n, err
}

// With TLS the brokers must be ones that are trusted.
func TestTLS(t *testing.T) {
	cert, key := targettest.Certificate(t)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}}), kfake.SeedTopics(1, topic))
	if err != nil {
		t.Fatal(err)
	}
	defer fake.Close()
	targettest.OnlyTrusted(t, "kafka://"+fake.ListenAddrs()[0]+"/"+topic+"?tls=true", targettest.Trusting(cert))
}
