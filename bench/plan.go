package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gabberd/gabberd/bench/load"
)

// A step is one workload as it is in the table.
type step struct {
	name   string
	title  string
	job    load.Job
	tls    bool
	twice  bool    // counts only the second time: servers that were just started are slow
	fresh  bool    // on a server that was just started: memory
	on     setting // of the server that it is for
	across bool    // sessions take turns with the nodes; otherwise all are on the first
	base   string  // the step, before this one, whose cost for a delivery is the unit of the figure times
	rows   []row
}

// A setting is what a server has besides what all have.
type setting string

// The settings of servers.
const (
	alone     setting = ""                   // nothing
	fasting   setting = "fast"               // tokens to log in again
	redisOne  setting = "redis"              // its sessions in Redis
	redisTwo  setting = "redis-2"            // two nodes that share a Redis and a PostgreSQL
	archiving setting = "archive"            // an archive of messages, kept as it does by default
	archivePG setting = "archive-postgresql" // the same, and all else, in a PostgreSQL

	forwarding setting = "forward"            // an archive from which everything is forwarded
	forwardPG  setting = "forward-postgresql" // the same in a PostgreSQL
)

// says is the setting for people.
func (s setting) says() string {
	return map[setting]string{fasting: ", with tokens", redisOne: ", with its sessions in Redis", redisTwo: ", two nodes", archiving: ", with an archive", archivePG: ", with an archive in PostgreSQL",
		forwarding: ", forwarding", forwardPG: ", forwarding, with PostgreSQL"}[s]
}

// A row is one figure of a step.
type row struct {
	title  string
	figure string  // in load.Result.Figures
	unit   string  // what the figure is in
	ratio  verdict // how servers are compared
}

// How two figures are compared.
type verdict string

const (
	less verdict = "less" // the smaller the better
	more verdict = "more"
	none verdict = "" // shown, not compared
)

// A size is how much is done in each step.
type size struct {
	logins, sessions, pingers int
	ring, contacts            int
	absent, messages          int
	readers, archive          int // who page through so many messages each
	rate, visits              float64
	idle, growth              []int // sessions
	warm, duration, rest      time.Duration
}

func fullSize() size {
	return size{
		logins: 600, sessions: 400, pingers: 50, ring: 100, contacts: 50, absent: 50, messages: 50, readers: 20, archive: 500, rate: 2000, visits: 20, idle: []int{2000},
		warm: 2 * time.Second, duration: 6 * time.Second, rest: 15 * time.Second,
	}
}

func smokeSize() size {
	return size{
		logins: 40, sessions: 20, pingers: 10, ring: 12, contacts: 6, absent: 5, messages: 25, readers: 2, archive: 60, rate: 300, visits: 10, idle: []int{40},
		warm: 200 * time.Millisecond, duration: time.Second, rest: time.Second,
	}
}

// users is how many accounts the steps need: first those with contacts, then all
// others.
func (z size) users(steps []step) int {
	n := z.ring + z.warmers()
	for _, s := range steps {
		n = max(n, s.job.First+s.job.Sessions)
	}
	return n
}

// warmers are the users who log in before anything is measured.
func (z size) warmers() int { return min(z.logins, 100) }

func (z size) writers() int { return max(z.absent/9, 1) }

// plan is the list of all steps.
func plan(z size) []step {
	steps := append(z.traffic(), z.grown()...)
	for _, n := range z.idle {
		for _, kind := range []struct {
			name string
			tls  bool
		}{{"TLS", true}, {"plain", false}} {
			title := fmt.Sprintf("idle session, %s (%s)", kind.name, thousands(float64(n)))
			steps = append(steps, step{
				name: fmt.Sprintf("idle-%s-%d", strings.ToLower(kind.name), n), title: title, tls: kind.tls, fresh: true,
				job: load.Job{Workload: "idle", First: z.ring, Sessions: n, Rest: z.rest},
				rows: []row{
					{title, "pss_kb", "kB", less},
					{title + ", just logged in", "login_pss_kb", "kB", none},
				},
			})
		}
	}
	return slices.Concat(steps, []step{{
		name: "login-fast", title: "login with a token (FAST)", on: fasting, tls: true, twice: true,
		job: load.Job{Workload: "fast", First: z.ring, Sessions: z.logins},
		rows: []row{
			{"login with a token (FAST), TLS 1.3", "cpu_us", "µs", less},
		},
	}}, z.archived(), z.forwarded(), z.shared())
}

// grown are the steps that show whether a message costs more where there are more
// sessions.
func (z size) grown() (steps []step) {
	for _, n := range z.growth {
		title := fmt.Sprintf("chat at %s a second among %s sessions", thousands(z.rate), thousands(float64(n)))
		// Everybody has written before: what only a first message costs is not asked for.
		warm := max(z.warm, time.Duration(1.2*float64(n/2)/z.rate*float64(time.Second)))
		steps = append(steps, step{
			name: fmt.Sprintf("growth-%d", n), title: title, base: fmt.Sprintf("growth-%d", z.growth[0]),
			job: load.Job{Workload: "chat", First: z.ring, Sessions: n, Rate: z.rate, Warm: warm, Duration: z.duration},
			rows: []row{
				{title + ", per message", "cpu_us", "µs", less},
				{title + ", times the cost among the fewest", "times", "×", none},
			},
		})
	}
	return steps
}

func (z size) traffic() []step {
	others := load.Job{First: z.ring, Warm: z.warm, Duration: z.duration}
	friends := load.Job{Sessions: z.ring, Contacts: z.contacts, Warm: z.warm, Duration: z.duration}
	with := func(j load.Job, workload string, change func(*load.Job)) load.Job {
		j.Workload = workload
		change(&j)
		return j
	}
	chat := with(others, "chat", func(j *load.Job) { j.Sessions, j.Window = z.sessions, 2 })
	rate := thousands(z.rate)
	return []step{
		{name: "login-tls", title: "login, SCRAM over TLS 1.3", tls: true, twice: true,
			job: with(others, "login", func(j *load.Job) { j.Sessions = z.logins }),
			rows: []row{
				{"login, SCRAM over TLS 1.3", "cpu_us", "µs", less},
				{"logins a second", "per_s", "/s", none},
			}},
		{name: "chat", title: "chat, saturated", job: chat, rows: []row{
			{"chat, saturated, per message", "cpu_us", "µs", less},
			{"chat, messages per CPU-second", "per_cpu_s", "/s", more},
			{"chat, messages a second", "per_s", "/s", none},
		}},
		{name: "chat-tls", title: "chat over TLS, saturated", job: chat, tls: true, rows: []row{
			{"chat over TLS, saturated, per message", "cpu_us", "µs", less},
		}},
		{name: "chat-rate", title: "chat at " + rate + " a second", job: with(chat, "chat", func(j *load.Job) { j.Rate = z.rate }), rows: []row{
			{"chat at " + rate + " a second, per message", "cpu_us", "µs", less},
			{"chat at " + rate + " a second, p50", "p50_ms", "ms", none},
			{"chat at " + rate + " a second, p99", "p99_ms", "ms", less},
			{"chat at " + rate + " a second, p99.9", "p999_ms", "ms", none},
		}},
		{name: "ping", title: "IQ ping", job: with(others, "ping", func(j *load.Job) { j.Sessions, j.Window = z.pingers, 4 }), rows: []row{
			{"IQ ping", "cpu_us", "µs", less},
		}},
		{name: "presence", title: "presence", job: with(friends, "presence", func(j *load.Job) { j.Window = 8 }), rows: []row{
			{fmt.Sprintf("presence, rosters of %d, per delivery", z.contacts), "cpu_us", "µs", less},
		}},
		{name: "roster", title: "roster fetch", job: with(friends, "roster", func(*load.Job) {}), rows: []row{
			{fmt.Sprintf("roster of %d fetched", z.contacts), "cpu_us", "µs", less},
		}},
		{name: "carbons", title: "chat with carbons", job: with(others, "carbons", func(j *load.Job) { j.Sessions, j.Devices, j.Window = z.sessions/4*2, 3, 2 }), rows: []row{
			{"chat with carbons to 3 devices each, per message", "cpu_us", "µs", less},
		}},
		{name: "day", title: "a day's mix", tls: true, job: with(others, "day", func(j *load.Job) { j.Sessions, j.Rate, j.Visits = z.sessions, z.rate/4, z.visits }), rows: []row{
			{fmt.Sprintf("a day's mix: %s messages and %g logins a second, CPU of a second", thousands(z.rate/4), z.visits), "cpu_ms_per_s", "ms", less},
			{"a day's mix, messages, p99", "p99_ms", "ms", less},
		}},
		{name: "offline", title: "offline messages",
			job: with(others, "offline", func(j *load.Job) { j.Sessions, j.Messages = z.writers()+z.absent, z.messages }),
			rows: []row{
				{"offline message, stored", "store_cpu_us", "µs", less},
				{"offline message, fetched", "fetch_cpu_us", "µs", less},
			}},
	}
}
