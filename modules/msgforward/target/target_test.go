package target_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabberd/gabberd/modules/msgforward/target"
)

func TestSchemes(t *testing.T) {
	if diff := cmp.Diff([]string{"redis", "rediss", "nats", "tls", "kafka", "amqp", "amqps"}, target.Schemes()); diff != "" {
		t.Error(diff)
	}
}

// What a URL lacks is said before anything is connected, and not with its password.
func TestCheck(t *testing.T) {
	for url, want := range map[string]string{
		"https://u:s3cret@host/":                         `"https" is not a kind of queue`,
		"s3cret":                                         "has no scheme",
		"redis://:s3cret@host/0":                         "the name of the stream is missing",
		"redis://:s3cret@host/zero?stream=x":             "the number of the database",
		"redis://:s3cret@a,b/0?stream=x":                 "one host",
		"redis://:s3cret@host?stream=x&maxlen=no":        "maxlen must be a number",
		"rediss://:s3cret@host?stream=x&streem=y":        `no option "streem"; it has stream, maxlen`,
		"nats://u:s3cret@host":                           "the subject is missing",
		"nats://u:s3cret@host/chat.>":                    "is no subject to publish to",
		"tls://u:s3cret@host/chat..x":                    "is no subject to publish to",
		"kafka://u:s3cret@host/":                         "the topic is missing",
		"kafka://u:s3cret@host/t":                        "sasl=plain",
		"amqp://u:s3cret@host/":                          "exchange=NAME",
		"amqp://u:s3cret@host/?exchange=x&vhost=y":       `no option "vhost"`,
		"amqps://u:s3cret@host:port/v?exchange=x&key=k":  "the port must be a number",
		"amqp://u:s3cret/@host:5672/v?exchange=x&key=k":  "written %2F",
		"redis://:s3cret@host/0?stream=ok":               "",
		"rediss://u:s3cret@host:1?stream=ok&maxlen=1000": "",
		"nats://token@a,b:1/chat.messages":               "",
		"tls://u:s3cret@[::1]:4222/chat":                 "",
		"amqp://u:s3cret@host/v%2F?exchange=x":           "",
		"amqps://host?key=queue":                         "",
	} {
		err := target.Check(url)
		o, opened := target.Open(t.Context(), url, target.Options{})
		if opened == nil {
			if err := o.Close(); err != nil {
				t.Error(err)
			}
		}
		switch {
		case want == "":
			if err != nil {
				t.Errorf("%s: %v", url, err)
			}
		case err == nil || opened == nil:
			t.Errorf("%s was taken", url)
		case !strings.Contains(err.Error(), want) || err.Error() != opened.Error():
			t.Errorf("%s: got %v, and on opening %v, want %s", url, err, opened, want)
		case strings.Contains(err.Error(), "s3cret"):
			t.Errorf("%s: the error shows the password: %v", url, err)
		}
	}
}
