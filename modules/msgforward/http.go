package msgforward

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gabberd/gabberd/modules/msgforward/target"
)

// maxAnswer is how much of an answer is read, in bytes, so that the connection can
// be used again. Of more than that the connection is closed.
const maxAnswer = 64 << 10

// maxRetryAfter bounds for how long a server can ask us to wait.
const maxRetryAfter = time.Hour

// webhook is a destination with an http or https URL. It implements target.Target.
type webhook struct {
	url     string
	wrap    bool // several messages may go into one request
	headers map[string]string
	keys    [][]byte
	client  *http.Client
}

// A dialer makes connections; nil is the network.
type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

func newWebhook(d *destination, conf *tls.Config, dial dialer) (*webhook, error) {
	w := &webhook{url: d.URL, wrap: d.Batch > 1, headers: d.Headers}
	for _, s := range []string{d.Secret, d.OldSecret} {
		if s == "" {
			continue
		}
		k, err := key(s)
		if err != nil {
			return nil, fmt.Errorf("secret of destination: %w", err)
		}
		w.keys = append(w.keys, k)
	}
	if dial == nil {
		dial = (&net.Dialer{Timeout: d.Timeout, KeepAlive: 30 * time.Second}).DialContext
	}
	w.client = &http.Client{
		CheckRedirect: sameHost,
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: dial, TLSClientConfig: conf, ForceAttemptHTTP2: true,
			TLSHandshakeTimeout: d.Timeout, MaxIdleConns: d.Concurrency, MaxIdleConnsPerHost: d.Concurrency,
			IdleConnTimeout: 90 * time.Second, MaxResponseHeaderBytes: maxAnswer,
		},
	}
	return w, nil
}

// sameHost follows a redirect that keeps method and body (RFC 9110 §15.4.8 and
// §15.4.9) on the same host and scheme. Any other answer is taken for what it is.
func sameHost(req *http.Request, via []*http.Request) error {
	first := via[0].URL
	keeps := req.Response.StatusCode == http.StatusTemporaryRedirect || req.Response.StatusCode == http.StatusPermanentRedirect
	if !keeps || req.URL.Host != first.Host || req.URL.Scheme != first.Scheme || len(via) > 3 {
		return http.ErrUseLastResponse
	}
	return nil
}

// An answer is what a server said.
type answer struct {
	Status int
	Text   string // its beginning
}

// Deliver posts the batch in one request.
func (w *webhook) Deliver(ctx context.Context, batch []target.Message) error {
	_, err := w.post(ctx, batch)
	return err
}

// Close closes connections that nobody uses.
func (w *webhook) Close() error {
	w.client.CloseIdleConnections()
	return nil
}

// post sends the batch and says what came back. Errors are as Deliver has them.
func (w *webhook) post(ctx context.Context, batch []target.Message) (a answer, err error) {
	body, id := w.compose(batch)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return a, &target.Final{Err: err}
	}
	h := req.Header
	h.Set("User-Agent", "gabberd")
	h.Set("Content-Type", batch[0].Type)
	for k, v := range batch[0].Head {
		h.Set(k, v)
	}
	for k, v := range w.headers {
		h.Set(k, v)
	}
	h.Set("Idempotency-Key", id)
	sign(h, id, time.Now(), body, w.keys)
	resp, err := w.client.Do(req)
	if err != nil {
		return a, plainly(err)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if closing := resp.Body.Close(); err == nil {
		err = closing
	}
	a = answer{resp.StatusCode, string(text[:min(len(text), 500)])}
	if verdict := judge(resp, time.Now()); verdict != nil || a.Status/100 == 2 {
		return a, verdict // its head came whole
	}
	return a, err
}

// compose is the request's body and the id by which repetitions of it are known.
// Whoever may get several messages always gets a list.
func (w *webhook) compose(batch []target.Message) (body []byte, id string) {
	if !w.wrap {
		return batch[0].Body, batch[0].ID
	}
	body = append(body, `{"messages":[`...)
	sum := sha256.New()
	for i, m := range batch {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, m.Body...)
		sum.Write([]byte(m.ID + "\n"))
	}
	id = batch[0].ID
	if len(batch) > 1 {
		id += "-" + hex.EncodeToString(sum.Sum(nil)[:8])
	}
	return append(body, "]}"...), id
}

// judge says what an answer means: 2xx is success, 4xx is final unless it speaks
// of the moment, and everything else may be tried again.
func judge(resp *http.Response, now time.Time) error {
	code := resp.StatusCode
	if code/100 == 2 {
		return nil
	}
	err := fmt.Errorf("the server answers %s", resp.Status)
	switch code {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
	default:
		if code/100 == 4 {
			return &target.Final{Err: err}
		}
	}
	if after := retryAfter(resp.Header.Get("Retry-After"), now); after > 0 {
		return &target.Later{Err: err, After: after}
	}
	return err
}

// retryAfter reads the header of RFC 9110 §10.2.3; 0 if it says nothing.
func retryAfter(v string, now time.Time) time.Duration {
	if v == "" {
		return 0
	}
	if secs, err := strconv.Atoi(v); err == nil {
		if secs < 0 {
			return 0
		}
		return min(time.Duration(min(secs, int(maxRetryAfter/time.Second)))*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(v); err == nil {
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return 0
}

// plainly is an error without the URL, which may have a password in it.
func plainly(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return fmt.Errorf("post: %w", u.Err)
	}
	return err
}
