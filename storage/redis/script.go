package redis

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"strconv"
	"strings"
	"sync/atomic"

	goredis "github.com/redis/go-redis/v9"
)

// A Script is a program in Lua that runs inside Redis, undisturbed by others.
// It knows nothing of a Client and may be kept in a package's variable.
//
// It is sent by its digest where Redis has seen it. After a new connection was
// made it is first sent whole, since Redis may have been started anew; so that
// the order of a pipeline holds over that. A transaction always sends it whole.
type Script struct{ source, digest []byte }

// NewScript makes a script of its source. On a Redis Cluster all keys that it
// touches must be among those it is given, and have the same hash tag.
func NewScript(source string) *Script {
	sum := sha1.Sum([]byte(source))
	return &Script{[]byte(source), []byte(hex.EncodeToString(sum[:]))}
}

// Run runs the script. The result is in the command, and so is the error.
func (s *Script) Run(ctx context.Context, c *Client, keys []string, args ...any) *goredis.Cmd {
	cmd := s.command(ctx, keys, args)
	_ = c.all.Process(ctx, cmd) // the command has the error
	return cmd
}

// Queue puts the script into a pipeline of a Client; its result comes with the
// pipeline. Only when Redis was told to forget its scripts (SCRIPT FLUSH) or a
// slot of a cluster has moved to another node does it run after what follows it
// in the pipeline; scripts with the same key keep their order also then.
func (s *Script) Queue(ctx context.Context, p goredis.Pipeliner, keys []string, args ...any) *goredis.Cmd {
	cmd := s.command(ctx, keys, args)
	_ = p.Process(ctx, cmd) // it is only put there
	return cmd
}

func (s *Script) command(ctx context.Context, keys []string, args []any) *goredis.Cmd {
	all := make([]any, 0, 3+len(keys)+len(args))
	all = append(all, "evalsha", spelling{s, false}, strconv.Itoa(len(keys)))
	for _, k := range keys {
		all = append(all, k)
	}
	cmd := goredis.NewCmd(ctx, append(all, args...)...)
	if len(keys) > 0 {
		cmd.SetFirstKeyPos(3)
	}
	return cmd
}

// spelling is what stands for a script in a command, so that it can be told
// from other arguments: its digest, or all of it.
type spelling struct {
	script *Script
	whole  bool
}

// MarshalBinary implements encoding.BinaryMarshaler.
func (s spelling) MarshalBinary() ([]byte, error) {
	if s.whole {
		return s.script.source, nil
	}
	return s.script.digest, nil
}

// scriptOf is the script that cmd runs, and whether cmd runs one of ours.
func scriptOf(cmd goredis.Cmder) (spelling, bool) {
	if args := cmd.Args(); len(args) > 2 {
		s, ok := args[1].(spelling)
		return s, ok
	}
	return spelling{}, false
}

// spellOut has cmd, which runs a script by its digest, send all of it.
func spellOut(cmd goredis.Cmder) {
	args := cmd.Args()
	s := args[1].(spelling)
	s.whole = true
	args[0], args[1] = "eval", s
	cmd.SetErr(nil)
}

// slots is how many there are in a Redis Cluster.
const slots = 16384

// sightings are the numbers of connections made when Redis was last seen to
// have a script: one, or of a Redis Cluster one for each slot, since its nodes
// know different scripts. 0 is never.
type sightings []atomic.Uint64

func (c *Client) sightings(s *Script) sightings {
	got, ok := c.scripts.Load(s)
	if !ok {
		n := 1
		if c.IsCluster() {
			n = slots
		}
		got, _ = c.scripts.LoadOrStore(s, make(sightings, n))
	}
	return got.(sightings)
}

// slotOf is where cmd, which runs a script, is counted among the sightings.
func (c *Client) slotOf(cmd goredis.Cmder) int {
	if args := cmd.Args(); c.IsCluster() && len(args) > 3 && args[2] != "0" {
		key, _ := args[3].(string)
		return slot(key)
	}
	return 0
}

// slot is that of a key in a Redis Cluster: the CRC16 of the key, or of its
// hash tag.
func slot(key string) int {
	if _, tag, ok := strings.Cut(key, "{"); ok {
		if tag, _, ok := strings.Cut(tag, "}"); ok && tag != "" {
			key = tag
		}
	}
	var crc uint16
	for i := range len(key) {
		crc ^= uint16(key[i]) << 8
		for range 8 {
			carry := crc & 0x8000
			crc <<= 1
			if carry != 0 {
				crc ^= 0x1021
			}
		}
	}
	return int(crc) % slots
}

// spell decides how the scripts of a command or a pipeline are sent. dials is
// how many connections had been made before. Where one script for a slot is not
// known, the first use of each there is spelled out: what is sent by digests
// then fails as a whole, if it does, and is repeated in order.
func (c *Client) spell(cmds []goredis.Cmder, dials uint64) {
	type use struct {
		script *Script
		slot   int
	}
	var unknown map[int]bool // slots
	for _, cmd := range cmds {
		if s, ok := scriptOf(cmd); ok {
			slot := c.slotOf(cmd)
			if inTransaction(cmds) || c.sightings(s.script)[slot].Load() != dials {
				if unknown == nil {
					unknown = map[int]bool{}
				}
				unknown[slot] = true
			}
		}
	}
	if unknown == nil {
		return
	}
	taught := map[use]bool{}
	for _, cmd := range cmds {
		if s, ok := scriptOf(cmd); ok {
			u := use{s.script, c.slotOf(cmd)}
			if unknown[u.slot] && !taught[u] {
				taught[u] = true
				spellOut(cmd)
			}
		}
	}
}

// inTransaction says whether a pipeline is one: nothing of it can be sent again
// by itself.
func inTransaction(cmds []goredis.Cmder) bool { return len(cmds) > 0 && cmds[0].Name() == "multi" }

// forgotten are the commands whose script Redis did not have, spelled out to be
// sent once more.
func forgotten(cmds []goredis.Cmder) []goredis.Cmder {
	if inTransaction(cmds) {
		return nil
	}
	var again []goredis.Cmder
	for _, cmd := range cmds {
		if s, ok := scriptOf(cmd); ok && !s.whole && cmd.Err() != nil && goredis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
			spellOut(cmd)
			again = append(again, cmd)
		}
	}
	return again
}

// learn remembers which scripts Redis has.
func (c *Client) learn(cmds []goredis.Cmder, dials uint64) {
	for _, cmd := range cmds {
		if s, ok := scriptOf(cmd); ok && cmd.Err() == nil {
			c.sightings(s.script)[c.slotOf(cmd)].Store(dials)
		}
	}
}
