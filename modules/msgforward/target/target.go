// Package target delivers messages to message queues: what mod_msg_forward needs
// of them is one interface, and a URL says which queue it is.
//
// Each kind of queue is a folder; package queue has what they share. To add one,
// write its folder and add its schemes below.
package target

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/gabberd/gabberd/modules/msgforward/target/amqp"
	"github.com/gabberd/gabberd/modules/msgforward/target/kafka"
	"github.com/gabberd/gabberd/modules/msgforward/target/nats"
	"github.com/gabberd/gabberd/modules/msgforward/target/queue"
	"github.com/gabberd/gabberd/modules/msgforward/target/redisstream"
)

// These are the words of package queue, where they are explained.
type (
	// A Message is what is forwarded.
	Message = queue.Message
	// A Target takes messages; its Deliver says what an error means.
	Target = queue.Target
	// Final is an error after which trying again is of no use.
	Final = queue.Final
	// Later is an error of somebody who has said when to try again.
	Later = queue.Later
	// Options are what a target needs beside its URL.
	Options = queue.Options
)

// A kind is a kind of queue.
type kind struct {
	schemes []string
	check   func(*queue.URL) error
	open    func(*queue.URL, Options) (Target, error)
}

// kinds are all there are.
func kinds() []kind {
	return []kind{
		{[]string{"redis", "rediss"}, redisstream.Check, redisstream.Open},
		{[]string{"nats", "tls"}, nats.Check, nats.Open},
		{[]string{"kafka"}, kafka.Check, kafka.Open},
		{[]string{"amqp", "amqps"}, amqp.Check, amqp.Open},
	}
}

// Schemes are those of the URLs that Open takes.
func Schemes() []string {
	var out []string
	for _, k := range kinds() {
		out = append(out, k.schemes...)
	}
	return out
}

// Check says what is wrong with a URL, as far as that can be said without a
// connection. The error is a sentence for the operator, without the URL's password.
func Check(url string) error {
	u, k, err := find(url)
	if err != nil {
		return err
	}
	return k.check(u)
}

// Open returns the target at a URL. It does not wait for a connection: a queue that
// is away is an error of Deliver. The target lives until it is closed, and ctx
// bounds only the call of Open. The error is a sentence for the operator, without
// the URL's password.
func Open(ctx context.Context, url string, o Options) (Target, error) {
	u, k, err := find(url)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return k.open(u, o)
}

func find(url string) (*queue.URL, kind, error) {
	u, err := queue.Parse(url)
	if err != nil {
		return nil, kind{}, err
	}
	for _, k := range kinds() {
		if slices.Contains(k.schemes, u.Scheme) {
			return u, k, nil
		}
	}
	return nil, kind{}, fmt.Errorf("%q is not a kind of queue; the URL must begin with %s", u.Scheme, strings.Join(Schemes(), "://, ")+"://")
}
