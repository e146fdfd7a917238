package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// StartTLS starts a server that speaks only TLS. Its certificate is for
// 127.0.0.1 and localhost and can be checked with CAFile.
func StartTLS(t testing.TB, settings ...string) *Server {
	t.Helper()
	s := start(t, func(s *Server) []string {
		s.tls = true
		s.certify()
		return append([]string{
			"port 0", fmt.Sprintf("tls-port %d", s.port), "tls-auth-clients no",
			"tls-cert-file " + s.CAFile(), "tls-key-file " + s.file("key.pem"), "tls-ca-cert-file " + s.CAFile(),
		}, settings...)
	})
	return s
}

// certify writes a certificate that has signed itself, and its key.
func (s *Server) certify() {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "redistest"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	cert, err := x509.CreateCertificate(rand.Reader, about, about, &key.PublicKey, key)
	if err != nil {
		s.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		s.CAFile():        {Type: "CERTIFICATE", Bytes: cert},
		s.file("key.pem"): {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
}

// A Cluster is a Redis Cluster of three masters.
type Cluster struct {
	Nodes []*Server
	t     testing.TB
}

// slots is how many there are in a Redis Cluster.
const slots = 16384

// StartCluster starts three servers and waits until they are a Redis Cluster
// that takes commands. A node that is away is noticed by the others after two
// seconds, and then they refuse all commands.
func StartCluster(t testing.TB, settings ...string) *Cluster {
	t.Helper()
	c := &Cluster{t: t}
	for range 3 {
		c.Nodes = append(c.Nodes, start(t, func(s *Server) []string {
			return append([]string{
				fmt.Sprintf("port %d", s.port), fmt.Sprintf("cluster-port %d", freePort(t)), "cluster-enabled yes",
				"cluster-config-file nodes.conf", "cluster-node-timeout 2000",
			}, settings...)
		}))
	}
	for i, n := range c.Nodes {
		add := []any{"CLUSTER", "ADDSLOTS"}
		for slot := slots * i / 3; slot < slots*(i+1)/3; slot++ {
			add = append(add, slot)
		}
		n.Do(add...)
		n.Do("CLUSTER", "SET-CONFIG-EPOCH", i+1)
		if i > 0 {
			c.Nodes[0].Do("CLUSTER", "MEET", "127.0.0.1", n.port, n.clusterPort())
		}
	}
	c.Await()
	return c
}

// clusterPort is where the nodes of a cluster talk to each other.
func (s *Server) clusterPort() string {
	got, _ := s.Do("CONFIG", "GET", "cluster-port").([]any)
	if len(got) != 2 {
		s.t.Fatalf("%s has no cluster-port: version 7 or newer is needed", s.program)
	}
	return fmt.Sprint(got[1])
}

// Await waits until all nodes know each other and take commands.
func (c *Cluster) Await() {
	c.t.Helper()
	for _, n := range c.Nodes {
		n.await("the cluster is up", func() bool {
			got := fmt.Sprint(n.Do("CLUSTER", "INFO"))
			return strings.Contains(got, "cluster_state:ok") && strings.Contains(got, fmt.Sprintf("cluster_known_nodes:%d", len(c.Nodes)))
		})
	}
}

// URL is what to write as redis_server.
func (c *Cluster) URL() string {
	addrs := make([]string, len(c.Nodes))
	for i, n := range c.Nodes {
		addrs[i] = n.Addr()
	}
	return "cluster://" + strings.Join(addrs, ",")
}

// Flush empties all nodes.
func (c *Cluster) Flush() {
	c.t.Helper()
	for _, n := range c.Nodes {
		n.Flush()
	}
}

// await waits until a condition holds.
func (s *Server) await(what string, holds func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("still not so: %s", what)
		}
	}
}

// Watched is a master and its replica, watched by one Sentinel, which makes the
// replica the master a second after the master has gone.
type Watched struct{ Master, Replica, Sentinel *Server }

// StartWatched starts the three.
func StartWatched(t testing.TB) *Watched {
	t.Helper()
	w := &Watched{Master: Start(t)}
	w.Replica = Start(t, fmt.Sprintf("replicaof 127.0.0.1 %d", w.Master.port), "repl-diskless-sync-delay 0")
	w.Replica.await("the replica is connected", func() bool {
		return strings.Contains(fmt.Sprint(w.Replica.Do("INFO", "replication")), "master_link_status:up")
	})
	w.Sentinel = start(t, func(s *Server) []string {
		return []string{
			fmt.Sprintf("port %d", s.port), fmt.Sprintf("sentinel monitor primary 127.0.0.1 %d 1", w.Master.port),
			"sentinel down-after-milliseconds primary 1000", "sentinel failover-timeout primary 5000",
		}
	}, "--sentinel")
	w.Sentinel.await("the Sentinel knows both", func() bool {
		return strings.Contains(fmt.Sprint(w.Sentinel.Do("INFO", "sentinel")), "status=ok,address="+w.Master.Addr()+",slaves=1")
	})
	return w
}

// URL is what to write as redis_server.
func (w *Watched) URL() string { return "sentinel://primary@" + w.Sentinel.Addr() }
