package sm

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gabberd/gabberd/storage/redis"
	"github.com/gabberd/gabberd/xmpp"
)

//go:embed redisput.lua
var putSource string

//go:embed redisdel.lua
var delSource string

//go:embed redisaside.lua
var asideSource string

var (
	putScript   = redis.NewScript(putSource)
	delScript   = redis.NewScript(delSource)
	asideScript = redis.NewScript(asideSource)
)

// kind is what a write does.
type kind uint8

const (
	put   kind = iota // writes a session, and reads those of its user
	touch             // only writes it
	del               // removes it
)

// A write changes what stands in Redis of one session of this node.
type write struct {
	r    *Redis
	kind kind
	s    *Session // nil where only the ID is known, of one that is removed
	user xmpp.JID
	id   ID

	f       *flight      // of a put
	script  *goredis.Cmd // nil if there was nothing to do
	indexes []goredis.Cmder
	second  bool   // the user's hash is done, what is left are the indexes
	only    epochs // of a del

	done chan struct{}
	got  *others // of a put, once done
	err  error   // once done
}

func (r *Redis) newWrite(k kind, s *Session) *write {
	return &write{r: r, kind: k, s: s, user: s.JID.Bare(), id: s.ID, done: make(chan struct{})}
}

// keys are the hashes that the session stands in.
func (w *write) keys() []string {
	return []string{w.r.userKey(w.user), w.r.hostKey(), w.r.nodeKey(w.id.Node)}
}

// fields are its fields in the hashes of the host and of the node.
func (w *write) fields() (host, node string) {
	id := w.id.String()
	return w.user.String() + between + id, w.r.userKey(w.user) + between + id
}

// send implements task. What is written is how the session is now. One that is not
// here any more is not written: its removal may be under way already.
func (w *write) send(ctx context.Context, p goredis.Pipeliner) {
	w.script, w.indexes = nil, w.indexes[:0]
	switch {
	case w.kind == del:
		w.sendDel(ctx, p)
	case w.r.holds(w.user, w.id):
		w.sendPut(ctx, p)
	}
}

func (w *write) sendPut(ctx context.Context, p goredis.Pipeliner) {
	r := w.r
	epoch := r.nodes.Epoch()
	rec := RecordOf(w.s, epoch)
	keys := w.keys()
	host, node := w.fields()
	long, short := "", rec.Short().String()
	if long = short; rec.Presence != "" {
		long = rec.String()
	}
	if w.second {
		w.indexes = append(w.indexes, p.HSet(ctx, keys[1], host, short), p.HSet(ctx, keys[2], node, host))
		return
	}
	want := "0"
	if w.kind == put {
		want = "1"
		if w.f == nil {
			w.f = r.cache.begin(w.user)
		}
	}
	args := []any{strconv.FormatUint(epoch, 10), w.id.String(), long,
		r.client.Key("sm"), notice{Drop: w.user.String(), Node: r.nodes.Name()}.String(), want}
	if r.client.IsCluster() {
		keys = keys[:1]
	} else {
		keys, args = append(keys, r.epochKey()), append(args, host, short, node)
	}
	w.script = putScript.Queue(ctx, p, keys, args...)
}

func (w *write) sendDel(ctx context.Context, p goredis.Pipeliner) {
	host, node := w.fields()
	if w.second {
		w.indexes = append(w.indexes, p.HDel(ctx, w.r.hostKey(), host), p.HDel(ctx, w.r.nodeKey(w.id.Node), node))
		return
	}
	keys := w.keys()
	n := notice{Drop: w.user.String(), Node: w.r.nodes.Name(), Gone: w.id.String()}
	args := []any{w.id.String(), w.r.client.Key("sm"), n.String(), w.only.from, w.only.to}
	if w.r.client.IsCluster() {
		keys = keys[:1]
	} else {
		args = append(args, host, node)
	}
	w.script = delScript.Queue(ctx, p, keys, args...)
}

// epochs are those whose records may be removed, both counted in; empty is any.
type epochs struct{ from, to string }

// Answers of delScript about records that it has left alone.
const (
	otherEpoch   = "ANOTHER epoch"
	foreignValue = "FOREIGN value"
)

// read implements task.
func (w *write) read(ctx context.Context, last bool) bool {
	err := w.failed()
	switch {
	case answerText(err) == otherEpoch, answerText(err) == foreignValue: // not to be removed
		close(w.done)
	case err == nil && w.script != nil && w.r.client.IsCluster() && !w.second:
		w.second = true // not before: an index must not name what is not there yet
		w.landed()
		return true
	case err == nil:
		w.landed()
		close(w.done)
	case wrongType(err) && !last:
		return w.aside(ctx, err)
	default:
		w.fail(err)
	}
	return false
}

// failed is the first error among the answers.
func (w *write) failed() error {
	if w.script != nil {
		if err := w.script.Err(); err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
	}
	for _, cmd := range w.indexes {
		if err := cmd.Err(); err != nil && !(w.kind == del && wrongType(err)) {
			return err
		}
	}
	return nil
}

// landed keeps what a put has read.
func (w *write) landed() {
	switch {
	case w.f == nil:
	case w.script == nil: // it was closed meanwhile
		w.r.cache.land(w.f, nil, away(errClosed))
	default:
		fields, _ := w.script.Slice() // nothing else is returned
		w.got = w.r.parse(w.f.user, fields)
		w.r.cache.land(w.f, w.got, nil)
	}
	w.f = nil
}

// fail implements task.
func (w *write) fail(err error) {
	w.r.behind.Store(true)
	if isFence(err) {
		w.r.fence(err)
	} else if !errors.Is(err, redis.ErrAway) && !errors.Is(err, ErrAway) {
		w.r.log.Error("session could not be written to Redis", "user", w.user.String(), "error", err)
	}
	if w.f != nil {
		w.r.cache.land(w.f, nil, away(err))
		w.f = nil
	}
	w.err = away(err)
	close(w.done)
}

// answerText is what Redis has said, empty if it has said nothing.
func answerText(err error) string {
	var answer goredis.Error
	if errors.As(err, &answer) {
		return answer.Error()
	}
	return ""
}

// fenced is how Redis answers a write of an epoch that is over.
const fenced = "FENCED "

func isFence(err error) bool { return strings.HasPrefix(answerText(err), fenced) }

// fence reports, once for each epoch, that this node was taken for dead.
func (r *Redis) fence(err error) {
	epoch, bad := strconv.ParseUint(strings.TrimPrefix(answerText(err), fenced), 10, 64)
	if bad != nil {
		return // it is not a number there; the script knows better than to compare it
	}
	if old := r.fenced.Load(); epoch > old && r.fenced.CompareAndSwap(old, epoch) && r.opt.Fenced != nil {
		r.opt.Fenced(epoch)
	}
}

// aside moves away what stands where a hash must be, and reports whether the
// write can be sent again.
func (w *write) aside(ctx context.Context, err error) bool {
	for _, key := range w.keys() {
		was, bad := asideScript.Run(ctx, w.r.client, []string{key, w.r.asideKey(key)}).Text()
		if bad != nil {
			w.fail(fmt.Errorf("%w; moving it away: %w", err, bad))
			return false
		}
		if was != "" {
			w.r.foreign.found(key, "", fmt.Errorf("a %s stood where a hash must be, and was renamed to %s", was, w.r.asideKey(key)))
		}
	}
	return true
}

// asideKey is where what was found at key is moved. On a Redis Cluster it lies in
// the same slot.
func (r *Redis) asideKey(key string) string {
	if _, tag, ok := strings.Cut(key, "{"); ok && strings.IndexByte(tag, '}') > 0 {
		return r.client.Key("foreign", key)
	}
	if r.client.IsCluster() {
		return r.client.Key("foreign", "{"+key+"}")
	}
	return r.client.Key("foreign", key)
}
