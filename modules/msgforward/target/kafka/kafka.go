// Package kafka produces messages to a topic of Kafka, or of a broker that speaks
// its protocol.
//
// The key of a record is the message's group, so that a conversation stays in one
// partition and in order; a message without one goes to any. Headers are id,
// content-type and those of the message. All replicas in sync have a record before
// it counts as taken. What a try has sent twice itself is dropped by the broker;
// what another try sends again is there again, with the same id.
package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/gabberd/gabberd/modules/msgforward/target/queue"
)

// place is what a URL says.
type place struct {
	*queue.URL
	topic string
	sasl  sasl.Mechanism // nil without a user
	tls   *tls.Config    // nil without TLS
}

func parse(u *queue.URL, o queue.Options) (place, error) {
	p := place{URL: u, topic: u.Path}
	if u.Bool("tls") {
		p.tls = o.TLSFor()
	}
	mechanism := u.Text("sasl")
	if err := u.Rest(); err != nil {
		return p, err
	}
	if p.topic == "" || strings.Trim(p.topic, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" {
		return p, fmt.Errorf("the topic is missing, or is not letters, digits, and any of . _ -: %s://HOST,HOST/TOPIC", u.Scheme)
	}
	switch {
	case mechanism == "" && u.User == "":
	case u.User == "":
		return p, errors.New("sasl is of no use without a user: kafka://USER:PASSWORD@HOST/TOPIC?sasl=…")
	case mechanism == "plain":
		p.sasl = plain.Auth{User: u.User, Pass: u.Password}.AsMechanism()
	case mechanism == "scram-sha-256":
		p.sasl = scram.Auth{User: u.User, Pass: u.Password}.AsSha256Mechanism()
	case mechanism == "scram-sha-512":
		p.sasl = scram.Auth{User: u.User, Pass: u.Password}.AsSha512Mechanism()
	default:
		return p, errors.New("how the user logs in must be said: sasl=plain, sasl=scram-sha-256 or sasl=scram-sha-512")
	}
	return p, nil
}

// Check says what is wrong with a URL.
func Check(u *queue.URL) error { _, err := parse(u, queue.Options{}); return err }

// Open returns the target at a URL: kafka://[USER:PASSWORD@]HOST[:PORT],…/TOPIC[?tls=true][&sasl=MECHANISM].
func Open(u *queue.URL, o queue.Options) (queue.Target, error) {
	p, err := parse(u, o)
	if err != nil {
		return nil, err
	}
	return queue.NewLanes(u, p.dial), nil
}

// lane is one producer.
type lane struct {
	place
	client *kgo.Client
	cut    context.CancelFunc
}

// deliveryTimeout is how long a record may take, if nobody has said less.
const deliveryTimeout = 10 * time.Second

func (p place) dial(ctx context.Context) (queue.Lane, error) {
	life, cut := context.WithCancel(context.Background())
	options := []kgo.Opt{
		kgo.WithContext(life), kgo.ClientID("gabberd"), kgo.SeedBrokers(p.Addrs("9092")...), kgo.DefaultProduceTopic(p.topic),
		kgo.Dialer(func(ctx context.Context, _, addr string) (net.Conn, error) {
			if p.tls == nil {
				return queue.Dial(ctx, addr, nil)
			}
			return queue.Dial(ctx, addr, p.tls.Clone())
		}),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerLinger(0), kgo.ProducerBatchMaxBytes(maxBatch),
		kgo.RecordDeliveryTimeout(deliveryTimeout), kgo.UnknownTopicRetries(0), kgo.MetadataMinAge(100 * time.Millisecond),
		kgo.RequestRetries(3), kgo.RetryTimeout(deliveryTimeout), kgo.RetryBackoffFn(func(int) time.Duration { return 100 * time.Millisecond }),
	}
	if p.sasl != nil {
		options = append(options, kgo.SASL(p.sasl))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		cut()
		return nil, err
	}
	l := &lane{p, client, cut}
	if err := client.Ping(ctx); err != nil { // else nobody says why records are not taken
		l.Close()
		if errors.Is(err, io.EOF) && p.sasl != nil {
			err = fmt.Errorf("it does not let us in: it has hung up, as brokers do where the user, the password, sasl or tls in the URL is wrong: %w", err)
		}
		return nil, p.explain(err)
	}
	return l, nil
}

// The largest batch of records is what Kafka takes if nobody has said otherwise.
const (
	maxBatch  = 1_000_012
	maxRecord = maxBatch - 1024 // and what is around one in its batch
)

// Send implements queue.Lane.
func (l *lane) Send(ctx context.Context, batch []queue.Message) error {
	records := make([]*kgo.Record, len(batch))
	for i, m := range batch {
		if records[i] = record(m); size(records[i]) > maxRecord {
			return &queue.Final{Err: fmt.Errorf("the message %s is larger than the %d bytes that Kafka takes", m.ID, maxRecord)}
		}
	}
	// Promises are kept also when nobody waits any more.
	taken := make(chan error, len(records))
	for _, r := range records {
		l.client.Produce(ctx, r, func(_ *kgo.Record, err error) { taken <- err })
	}
	for range records {
		select {
		case err := <-taken:
			if err != nil {
				return l.explain(err)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func record(m queue.Message) *kgo.Record {
	r := &kgo.Record{Value: m.Body, Headers: []kgo.RecordHeader{{Key: "id", Value: []byte(m.ID)}}}
	if m.Group != "" {
		r.Key = []byte(m.Group)
	}
	if m.Type != "" {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: "content-type", Value: []byte(m.Type)})
	}
	for _, name := range slices.Sorted(maps.Keys(m.Head)) {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: []byte(m.Head[name])})
	}
	return r
}

// size is about how many bytes a record has.
func size(r *kgo.Record) int {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value) + 8
	}
	return n
}

// explain says what an operator can do about an error.
func (p place) explain(err error) error {
	switch {
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge), errors.Is(err, kerr.InvalidRecord):
		return &queue.Final{Err: fmt.Errorf("the broker refuses a message: %w", err)}
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.InvalidTopicException):
		return fmt.Errorf("the topic %q is not there: make it, or correct it in the URL: %w", p.topic, err)
	case errors.Is(err, kerr.SaslAuthenticationFailed), errors.Is(err, kerr.UnsupportedSaslMechanism), errors.Is(err, kerr.IllegalSaslState):
		return fmt.Errorf("it does not let us in: correct the user, the password and sasl in the URL: %w", err)
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		return fmt.Errorf("the user in the URL may not write to the topic %q: allow it: %w", p.topic, err)
	}
	return err
}

// Abort implements queue.Lane.
func (l *lane) Abort() { l.cut() }

// Close implements queue.Lane.
func (l *lane) Close() {
	l.cut()
	l.client.Close()
}
