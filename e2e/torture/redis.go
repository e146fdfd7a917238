package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// redisServer is a Redis that forgets everything when it ends.
type redisServer struct {
	dir    string
	port   int
	client *redis.Client
	cmd    *exec.Cmd
}

func newRedis(dir string) (*redisServer, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	r := &redisServer{dir: dir, port: port}
	r.client = redis.NewClient(&redis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", port)})
	return r, nil
}

// start starts the process. It answers a moment later.
func (r *redisServer) start() error {
	log, err := os.OpenFile(filepath.Join(r.dir, "redis.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	r.cmd = exec.Command("redis-server", "--bind", "127.0.0.1", "--port", strconv.Itoa(r.port), "--dir", r.dir,
		"--save", "", "--appendonly", "no", "--daemonize", "no")
	r.cmd.Stdout, r.cmd.Stderr = log, log
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := r.cmd.Start(); err != nil {
		return fmt.Errorf("start redis-server (apt-get install redis-server): %w", err)
	}
	return nil
}

// stop ends the process at once, and all that it knew.
func (r *redisServer) stop() error {
	if err := r.cmd.Process.Kill(); err != nil {
		return err
	}
	_ = r.cmd.Wait() // that it was killed is no news
	return nil
}

// answers is what is missing until it serves.
func (r *redisServer) answers(ctx context.Context) string {
	if err := r.client.Ping(ctx).Err(); err != nil {
		return "Redis does not answer"
	}
	return ""
}

// close ends the process and our connection to it.
func (r *redisServer) close() error {
	if r.cmd != nil && r.cmd.ProcessState == nil {
		if err := r.stop(); err != nil {
			return err
		}
	}
	return r.client.Close()
}

// dump is everything that is in it, for the files of a failure.
func (r *redisServer) dump(ctx context.Context) (string, error) {
	const script = `
local out = {}
for _, k in ipairs(redis.call('KEYS', '*')) do
	local t = redis.call('TYPE', k)['ok']
	table.insert(out, t .. ' ' .. k)
	if t == 'hash' then
		local all = redis.call('HGETALL', k)
		for i = 1, #all, 2 do table.insert(out, '    ' .. all[i] .. ' = ' .. all[i+1]) end
	elseif t == 'string' then table.insert(out, '    ' .. redis.call('GET', k) .. '  pttl ' .. redis.call('PTTL', k))
	elseif t == 'stream' then
		table.insert(out, '    ' .. redis.call('XLEN', k) .. ' entries')
		for _, e in ipairs(redis.call('XRANGE', k, '-', '+', 'COUNT', 50)) do table.insert(out, '    ' .. e[1] .. ' ' .. table.concat(e[2], ' ')) end
	end
end
return table.concat(out, '\n')`
	return r.client.Eval(ctx, script, nil).Text()
}
