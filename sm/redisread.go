package sm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gabberd/gabberd/storage/redis"
	"github.com/gabberd/gabberd/xmpp"
)

// User is the sessions of a user on all nodes. What is cached allocates nothing and
// waits for nobody. The error wraps ErrAway.
func (r *Redis) User(bare xmpp.JID) ([]*Session, error) {
	if !r.ours(bare) {
		return nil, nil
	}
	old, fresh := r.cache.get(bare)
	if fresh {
		return r.join(r.mem.Local(bare), old), nil
	}
	f, mine := r.cache.ask(bare, old)
	return r.answer(f, mine, old)
}

// Fresh is User as Redis has it now.
func (r *Redis) Fresh(bare xmpp.JID) ([]*Session, error) {
	if !r.ours(bare) {
		return nil, nil
	}
	return r.answer(r.cache.begin(bare), true, nil)
}

// answer waits for a flight, and begins it if it is the caller's. old is what is
// answered if it brings nothing.
func (r *Redis) answer(f *flight, mine bool, old *others) ([]*Session, error) {
	if mine {
		l := &lookup{r: r, f: f}
		if err := r.reads.add(l); err != nil {
			l.fail(err)
		}
	}
	t := time.NewTimer(redis.Timeout)
	defer t.Stop()
	err := ErrAway
	select {
	case <-f.done:
		if err = f.err; f.got != nil {
			old = f.got
		}
	case <-t.C:
	}
	return r.join(r.mem.Local(f.user), old), err
}

// join is the sessions of a user: those of this node, and of the others those
// whose node has not begun anew since.
func (r *Redis) join(local []*Session, o *others) []*Session {
	if o == nil || len(o.sessions) == 0 {
		return local
	}
	for _, s := range o.sessions {
		if !r.current(s) {
			return slices.Concat(local, r.living(o.sessions))
		}
	}
	if len(local) == 0 {
		return o.sessions
	}
	if j := o.with.Load(); j != nil && len(j.local) == len(local) && &j.local[0] == &local[0] {
		return j.all
	}
	all := slices.Concat(local, o.sessions)
	o.with.Store(&joined{local, all})
	return all
}

func (r *Redis) current(s *Session) bool { return r.nodes.Current(s.ID.Node, s.epoch) }

func (r *Redis) living(all []*Session) []*Session {
	var out []*Session
	for _, s := range all {
		if r.current(s) {
			out = append(out, s)
		}
	}
	return out
}

// A lookup reads the hash of one user.
type lookup struct {
	r     *Redis
	f     *flight
	cmd   *goredis.Cmd
	epoch *goredis.IntCmd // whether our own epoch is there: if not, nothing is
}

func (l *lookup) send(ctx context.Context, p goredis.Pipeliner) {
	l.cmd = p.Do(ctx, "HGETALL", l.r.userKey(l.f.user))
	l.epoch = p.Exists(ctx, l.r.epochKey())
}

func (l *lookup) read(ctx context.Context, _ bool) bool {
	fields, err := l.cmd.Slice()
	switch {
	case wrongType(err):
		// Whoever has sessions of the user puts this right when it writes them.
		l.r.foreign.found(l.r.userKey(l.f.user), "", errWrongType)
		l.r.publish(ctx, notice{Drop: l.f.user.String(), Again: true})
		l.r.cache.drop(l.f.user) // and this answer is not kept
		l.r.cache.land(l.f, &others{user: l.f.user}, nil)
	case err != nil:
		l.fail(err)
	case l.epoch.Err() != nil:
		l.fail(l.epoch.Err())
	case l.epoch.Val() == 0:
		l.r.nodes.Emptied()
		l.fail(errEmptied)
	case !l.r.nodes.Settled():
		// What is there counts, and what is not may come yet.
		l.r.cache.land(l.f, l.r.parse(l.f.user, fields), away(errEmptied))
	default:
		l.r.cache.land(l.f, l.r.parse(l.f.user, fields), nil)
	}
	return false
}

func (l *lookup) fail(err error) { l.r.cache.land(l.f, nil, away(err)) }

var errEmptied = errors.New("it was emptied, and not everybody has written his sessions again")

var errWrongType = errors.New("a key of another type")

// wrongType reports whether Redis has said that a key is not a hash.
func wrongType(err error) bool {
	var answer goredis.Error
	return errors.As(err, &answer) && strings.Contains(answer.Error(), "WRONGTYPE")
}

// parse reads the hash of a user, as fields and values in turn.
func (r *Redis) parse(user xmpp.JID, fields []any) *others {
	o := &others{user: user, nobody: true}
	for i := 0; i+1 < len(fields); i += 2 {
		field, _ := fields[i].(string)
		value, _ := fields[i+1].(string)
		id, ok := parseID(field)
		if ok && id.Node == r.nodes.Name() {
			o.nobody = false // memory knows better
			continue
		}
		s, err := r.session(field, value)
		if err == nil && s.JID.Bare() != user {
			err = fmt.Errorf("%w: it belongs to another user", errNotOurs)
		}
		if err != nil {
			r.foreign.found(r.userKey(user), field, err)
			continue
		}
		o.nobody = false
		o.sessions = append(o.sessions, s)
	}
	return o
}

// session reads a record of a session on another node.
func (r *Redis) session(field, value string) (*Session, error) {
	rec, err := ParseRecord(field, value)
	if err != nil {
		return nil, err
	}
	return rec.session(r.domain, r.nodes)
}

// step is how many fields are asked for at once where there may be very many.
const step = 1000

// All is every session on all nodes. Of those elsewhere it has the priority, but
// not the presence. It takes redis.Timeout at most for each thousand of them. The
// error wraps ErrAway.
func (r *Redis) All() ([]*Session, error) {
	ctx, all := context.Background(), r.mem.Here()
	seen := map[ID]struct{}{}
	for cursor := uint64(0); ; {
		fields, next, err := r.client.HScan(ctx, r.hostKey(), cursor, "", step).Result()
		switch {
		case wrongType(err):
			r.foreign.found(r.hostKey(), "", errWrongType)
			return all, nil
		case err != nil:
			return all, away(err)
		}
		for i := 0; i+1 < len(fields); i += 2 {
			s, err := r.elsewhere(fields[i], fields[i+1])
			if err != nil {
				r.foreign.found(r.hostKey(), fields[i], err)
				continue
			}
			if s == nil || !r.current(s) {
				continue
			}
			if _, twice := seen[s.ID]; !twice { // HSCAN may return a field again
				seen[s.ID] = struct{}{}
				all = append(all, s)
			}
		}
		if cursor = next; cursor == 0 {
			return all, nil
		}
	}
}

// elsewhere reads a field of the hash of the host: nil for a session of this node.
func (r *Redis) elsewhere(field, value string) (*Session, error) {
	if _, _, own := r.indexed(field, r.nodes.Name()); own {
		return nil, nil
	}
	at := strings.LastIndex(field, between)
	if at < 0 {
		return nil, fmt.Errorf("%w: the field names none", errNotOurs)
	}
	s, err := r.session(field[at+len(between):], value)
	if err == nil && s.JID.Bare().String() != field[:at] {
		return nil, fmt.Errorf("%w: it belongs to another user", errNotOurs)
	}
	return s, err
}

// Count is how many sessions there are on all nodes. What others have left in the
// hash of the host counts, and so do the sessions of a node that has just died,
// until they are removed. The error wraps ErrAway.
func (r *Redis) Count() (int, error) {
	ctx := context.Background()
	here := int(r.mem.count.Load())
	p := r.client.Pipeline()
	all, own := p.HLen(ctx, r.hostKey()), p.HLen(ctx, r.nodeKey(r.nodes.Name()))
	if _, err := p.Exec(ctx); err != nil {
		if wrongType(all.Err()) || wrongType(own.Err()) {
			r.foreign.found(r.hostKey(), "", errWrongType)
			return here, nil
		}
		return here, away(err)
	}
	// What stands in Redis of this node may be a moment old.
	return here + max(0, int(all.Val()-own.Val())), nil
}
