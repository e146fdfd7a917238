package targettest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	natsgo "github.com/nats-io/nats.go"
	amqp091 "github.com/rabbitmq/amqp091-go"
)

// User and Password are what the servers let in.
const (
	User     = "romeo"
	Password = "s3cret-of-juliet"
)

// What RabbitMQ has.
const (
	Exchange = "gabberd"
	Queue    = "chat"
	Key      = "messages"
)

// NATS starts a nats-server with JetStream on the disk.
func NATS(t testing.TB) *Server { t.Helper(); return startNATS(t, "") }

// NATSWithTLS starts one that wants TLS, with a certificate that Trusted knows.
func NATSWithTLS(t testing.TB) *Server {
	t.Helper()
	return startNATS(t, "tls { cert_file: %q, key_file: %q }\n")
}

func startNATS(t testing.TB, secure string) *Server {
	t.Helper()
	s := newServer(t)
	nats := program(t, "/usr/sbin/nats-server", "nats-server")
	conf := fmt.Sprintf("listen: %q\njetstream { store_dir: %q }\nauthorization { user: %q, password: %q }\nmax_payload: 65536\n",
		s.Addr(), s.dir, User, Password)
	var options []natsgo.Option
	if secure != "" {
		s.certify()
		conf += fmt.Sprintf(secure, s.file(certFile), s.file(keyFile))
		options = append(options, natsgo.Secure(s.Trusted()))
	}
	s.write("nats.conf", conf)
	s.start = func() (*process, error) { return launch(s.dir, os.Environ(), nats, "-c", s.file("nats.conf")) }
	s.answers = func() error {
		c, err := natsgo.Connect("nats://"+s.Addr(), append(options, natsgo.UserInfo(User, Password), natsgo.NoReconnect())...)
		if err != nil {
			return err
		}
		c.Close()
		return nil
	}
	s.Resume()
	return s
}

// RabbitMQ starts a RabbitMQ with no plugins, where the queue Queue is bound to the
// exchange Exchange with the key Key. Erlang's port mapper is one of its own, which
// ends with it.
func RabbitMQ(t testing.TB) *Server { t.Helper(); return startRabbitMQ(t, false) }

// RabbitMQWithTLS starts one that wants TLS, with a certificate that Trusted knows.
func RabbitMQWithTLS(t testing.TB) *Server { t.Helper(); return startRabbitMQ(t, true) }

func startRabbitMQ(t testing.TB, secure bool) *Server {
	t.Helper()
	s := newServer(t)
	listen := []string{"listeners.tcp.1 = " + s.Addr()}
	dial := func() (*amqp091.Connection, error) {
		return amqp091.Dial(fmt.Sprintf("amqp://%s:%s@%s/", User, Password, s.Addr()))
	}
	if secure {
		s.certify()
		listen = []string{"listeners.tcp = none", "listeners.ssl.1 = " + s.Addr(), "ssl_options.certfile = " + s.file(certFile),
			"ssl_options.keyfile = " + s.file(keyFile), "ssl_options.verify = verify_none", "ssl_options.fail_if_no_peer_cert = false"}
		dial = func() (*amqp091.Connection, error) {
			return amqp091.DialTLS(fmt.Sprintf("amqps://%s:%s@%s/", User, Password, s.Addr()), s.Trusted())
		}
	}
	rabbit := program(t, "/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server")
	mapper := program(t, "epmd")
	mapperPort := strconv.Itoa(freePort(t))
	s.write("rabbitmq.conf", strings.Join(append(listen,
		"load_definitions = "+s.file("definitions.json"),
		"disk_free_limit.absolute = 1MB", "log.file = false", "log.console = true", "log.console.level = warning", "",
	), "\n"))
	// What is declared over the wire is not safe from a crash for some seconds.
	s.write("definitions.json", fmt.Sprintf(`{
		"users": [{"name": %[1]q, "password": %[2]q, "tags": "administrator"}],
		"vhosts": [{"name": "/"}],
		"permissions": [{"user": %[1]q, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}],
		"exchanges": [{"name": %[3]q, "vhost": "/", "type": "direct", "durable": true, "auto_delete": false, "internal": false, "arguments": {}}],
		"queues": [{"name": %[4]q, "vhost": "/", "durable": true, "auto_delete": false, "arguments": {}}],
		"bindings": [{"source": %[3]q, "vhost": "/", "destination": %[4]q, "destination_type": "queue", "routing_key": %[5]q, "arguments": {}}]
	}`, User, Password, Exchange, Queue, Key))
	s.write("plugins", "[].\n")
	env := append(os.Environ(),
		"HOME="+s.dir, "ERL_EPMD_PORT="+mapperPort, "ERL_EPMD_ADDRESS=127.0.0.1",
		"RUNNING_UNDER_SYSTEMD=true", // the script becomes the server, in the place of waiting for it
		"RABBITMQ_NODENAME=gabberd-test@localhost", "RABBITMQ_DIST_PORT="+strconv.Itoa(freePort(t)),
		"RABBITMQ_CONFIG_FILE="+s.file("rabbitmq.conf"), "RABBITMQ_CONF_ENV_FILE="+s.file("none"), "RABBITMQ_ENABLED_PLUGINS_FILE="+s.file("plugins"),
		"RABBITMQ_MNESIA_BASE="+s.file("mnesia"), "RABBITMQ_LOG_BASE="+s.dir, "RABBITMQ_PID_FILE="+s.file("pid"),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 2:2 +sbwt none",
	)
	epmd, err := launch(s.dir, env, mapper, "-port", mapperPort, "-address", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(epmd.kill)
	for reachable("127.0.0.1:"+mapperPort) != nil {
		select {
		case <-epmd.exited:
			t.Fatal("epmd did not start")
		default:
		}
	}
	s.start = func() (*process, error) { return launch(s.dir, env, rabbit) }
	s.answers = func() error {
		c, err := dial()
		if err != nil {
			return err
		}
		return c.Close()
	}
	s.Resume()
	return s
}

func (s *Server) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}
