// Package load puts a known load on an XMPP server and says what came of it:
// how long everything took, what it cost the server's processes, and whether
// every stanza came exactly once and in order. It is a client of its own on raw
// sockets, so that a mistake of the server's parser cannot hide in it, and
// cheap enough not to be what is measured.
//
// Run starts worker processes of the calling program, so a main function (or
// TestMain) that uses the package calls Worker first. Linux only.
package load

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"
)

// TLS says how a connection is encrypted.
type TLS string

// The ways in which a server takes connections.
const (
	Plain    TLS = "none"
	StartTLS TLS = "starttls"
	Direct   TLS = "direct" // TLS from the first byte
)

// Target is the server that gets the load and the processes it consists of.
type Target struct {
	Addresses []string         `json:"addresses"` // host:port; this machine only. Of several, sessions take turns
	TLS       TLS              `json:"tls"`
	Domain    string           `json:"domain"`
	Prefix    string           `json:"prefix"`              // users are called Prefix0, Prefix1, …
	Password  string           `json:"-"`                   // the same for all of them
	Mechanism string           `json:"mechanism,omitempty"` // empty: the best that is offered
	Relay     bool             `json:"relay,omitempty"`     // no XMPP: bench/relay, which joins two sockets
	Keys      string           `json:"-"`                   // a file in which derived passwords are kept; may be empty
	PIDs      []int            `json:"pids,omitempty"`      // their children are counted with them
	Beside    map[string][]int `json:"beside,omitempty"`    // processes that are reported apart, such as a database
}

// Job is one workload and its measure. What a workload does not know it ignores.
type Job struct {
	Workload   string        `json:"workload"` // one of Workloads
	Target     Target        `json:"target"`
	First      int           `json:"first"`      // number of the first user
	Sessions   int           `json:"sessions"`   // users that take part
	Concurrent int           `json:"concurrent"` // logins under way at once
	Rate       float64       `json:"rate"`       // stanzas a second in all; 0: as many as the window lets through
	Window     int           `json:"window"`     // without a rate: stanzas under way for each sender
	Warm       time.Duration `json:"warm"`       // the same load before measuring
	Duration   time.Duration `json:"duration"`   // how long new stanzas are sent
	Rest       time.Duration `json:"rest"`       // idle: how long sessions rest before memory is read
	Patience   time.Duration `json:"patience"`   // without any delivery, until those that are missing are called lost
	Body       int           `json:"body"`       // bytes of a message's text
	Contacts   int           `json:"contacts"`   // rosters: contacts of each user; even
	Messages   int           `json:"messages"`   // offline, archive: messages for each user
	Devices    int           `json:"devices"`    // carbons: of each user
	Occupants  int           `json:"occupants"`  // rooms: of each room
	Visits     float64       `json:"visits"`     // day: logins a second
	Processes  int           `json:"processes"`  // 0: as few as the limit on open files allows
}

// A workload is one way of loading a server.
type workload struct {
	run       func(*worker) error // in every worker process
	summarize func(*Result)       // in the parent, when all are done
	unit      int                 // sessions that must stay in one process come in multiples of this
	ring      bool                // users are each other's contacts, so all are in one process
	single    bool                // all sessions must be in one process
	memory    bool                // read the server's memory at each phase
	relay     bool                // makes sense against the bare relay
}

func workloads() map[string]workload {
	return map[string]workload{
		"register": {run: (*worker).register, summarize: summarizeLogins, unit: 1},
		"befriend": {run: (*worker).befriend, summarize: func(*Result) {}, unit: 1, ring: true},
		"login":    {run: (*worker).logins, summarize: summarizeLogins, unit: 1, relay: true},
		"fast":     {run: (*worker).fastLogins, summarize: summarizeLogins, unit: 1},
		"idle":     {run: (*worker).idle, summarize: summarizeIdle, unit: 2, memory: true, relay: true},
		"chat":     {run: (*worker).chat, summarize: summarizeTraffic, unit: 2, relay: true},
		"presence": {run: (*worker).presence, summarize: summarizeTraffic, unit: 1, ring: true},
		"ping":     {run: (*worker).ping, summarize: summarizeTraffic, unit: 1},
		"roster":   {run: (*worker).roster, summarize: summarizeTraffic, unit: 1},
		"carbons":  {run: (*worker).carbons, summarize: summarizeCarbons, unit: 2},
		"archive":  {run: (*worker).archive, summarize: summarizeTraffic, unit: 2},
		"rooms":    {run: (*worker).rooms, summarize: summarizeTraffic, unit: 1, single: true},
		"day":      {run: (*worker).day, summarize: summarizeDay, unit: 4},
		"offline":  {run: (*worker).offline, summarize: summarizeOffline, unit: 1},
	}
}

// Workloads are the names that a Job can ask for.
func Workloads() []string { return slices.Sorted(maps.Keys(workloads())) }

// OnRelay says whether a workload makes sense against the bare relay.
func OnRelay(name string) bool { return workloads()[name].relay }

// check fills in what was left out and says what cannot be.
func (j *Job) check() error {
	kind, ok := workloads()[j.Workload]
	if !ok {
		return fmt.Errorf("workload %q: there are %s", j.Workload, strings.Join(Workloads(), ", "))
	}
	if err := j.Target.local(); err != nil {
		return err
	}
	switch j.Target.TLS {
	case "":
		j.Target.TLS = Plain
	case Plain, StartTLS, Direct:
	default:
		return fmt.Errorf("tls %q: there are %s, %s and %s", j.Target.TLS, Plain, StartTLS, Direct)
	}
	switch {
	case j.Sessions < 1:
		return errors.New("sessions: at least one")
	case kind.ring && (j.Contacts < 2 || j.Contacts%2 != 0 || j.Contacts >= j.Sessions):
		return fmt.Errorf("contacts: %d; must be even, at least 2 and fewer than the %d sessions", j.Contacts, j.Sessions)
	case kind.unit == 2 && j.Sessions%2 != 0:
		return errors.New("sessions: this workload wants pairs, so an even number")
	case j.Workload == "rooms" && (j.Occupants < 2 || j.Sessions%j.Occupants != 0 || j.First%j.Occupants != 0):
		return fmt.Errorf("occupants: %d; must be at least 2, and %d sessions from user %d on must make whole rooms", j.Occupants, j.Sessions, j.First)
	case j.Workload == "archive" && j.Messages < pageSize:
		return fmt.Errorf("messages: %d; a page has %d", j.Messages, pageSize)
	case j.Workload == "day" && (j.Rate <= 0 || j.Sessions < 4):
		return errors.New("day: wants a rate, and at least 4 sessions")
	case j.Rate < 0:
		return errors.New("rate: cannot be negative")
	}
	j.Concurrent = orElse(j.Concurrent, 32)
	j.Window = orElse(j.Window, 1)
	j.Devices = orElse(j.Devices, 3)
	j.Body = orElse(j.Body, 100)
	j.Duration = orElse(j.Duration, 5*time.Second)
	j.Patience = orElse(j.Patience, 10*time.Second)
	return nil
}

func orElse[T int | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

// local refuses addresses that are not of this machine: the server's processes
// must be in our /proc, and nobody else's server shall be loaded by mistake.
func (t Target) local() error {
	if len(t.Addresses) == 0 {
		return errors.New("address: there is none")
	}
	for _, address := range t.Addresses {
		if err := local(address); err != nil {
			return err
		}
	}
	return nil
}

func local(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("address: %w", err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("address %s: only servers on a loopback address can be loaded", address)
	}
	return nil
}
