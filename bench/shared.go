package main

import "github.com/gabberd/gabberd/bench/load"

// shared are the steps with sessions in Redis: on one node, and on two.
func (z size) shared() []step {
	job := load.Job{First: z.ring, Warm: z.warm, Duration: z.duration}
	login, chat := job, job
	login.Workload, login.Sessions = "login", z.logins
	chat.Workload, chat.Sessions, chat.Window = "chat", z.sessions, 2
	paced := chat
	paced.Rate = z.rate
	steps := []step{{
		name: "login-redis", title: "login, sessions in Redis", tls: true, twice: true, on: redisOne, job: login,
		rows: []row{
			{"login, sessions in Redis", "cpu_us", "µs", less},
			{"login, sessions in Redis, logins per CPU-second", "per_cpu_s", "/s", more},
			{"login, sessions in Redis, Redis besides", "redis_cpu_us", "µs", none},
		},
	}}
	for _, kind := range []struct {
		suffix, title string
		job           load.Job
	}{{"", "saturated", chat}, {"-rate", "at " + thousands(z.rate) + " a second", paced}} {
		within, across := "chat within a node, "+kind.title, "chat across two nodes, "+kind.title
		steps = append(steps, step{
			name: "chat-redis-within" + kind.suffix, title: within, on: redisTwo, job: kind.job,
			rows: append([]row{{within + ", per message", "cpu_us", "µs", none}}, pace(within, kind.job)...),
		}, step{
			name: "chat-redis-across" + kind.suffix, title: across, on: redisTwo, across: true, job: kind.job, base: "chat-redis-within" + kind.suffix,
			rows: append([]row{
				{across + ", per message, both nodes", "cpu_us", "µs", none},
				{across + ", Redis besides", "redis_cpu_us", "µs", none},
				{across + ", times the cost within", "times", "×", none},
			}, pace(across, kind.job)...),
		})
	}
	return steps
}

// pace is the rows about time: how long it takes at a rate, how much goes
// without one.
func pace(title string, j load.Job) []row {
	if j.Rate == 0 {
		return []row{{title + ", messages a second", "per_s", "/s", none}}
	}
	return []row{{title + ", p50", "p50_ms", "ms", none}, {title + ", p99", "p99_ms", "ms", none}}
}
