// Package play performs plays: whole conversations between clients and a
// server, written so that a person can read them, in the form of Prosody's
// scansion scripts.
//
//	# Juliet hears what Romeo says.
//
//	[Server]
//	  modules:
//	    mod_roster: {}
//
//	[Client] Romeo
//	  jid: romeo@localhost/orchard
//	  password: secret
//
//	[Client] Juliet
//	  jid: juliet@localhost/balcony
//	  password: secret
//
//	-----
//
//	Romeo connects
//	Juliet connects
//
//	Romeo sends:
//	  <message to='juliet@localhost/balcony' type='chat'><body>It is the east</body></message>
//
//	Juliet receives:
//	  <message from='romeo@localhost/orchard' type='chat'><body>It is the east</body></message>
//
//	Juliet receives nothing
//
// The file README.md in e2e/plays lists every stage direction and what a
// pattern may say.
package play

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Play is a script that has been read: who takes part, what the server must be
// configured to do, and what happens.
type Play struct {
	Name    string // the file's name without its ending
	Title   string // the first comment
	Config  string // what [Server] says: top-level options of ejabberd.yml, as YAML
	Clients []Role
	Steps   []Step
	file    string
}

// Role is a [Client] section.
type Role struct {
	Name     string
	JID      string // bare, or with the resource to ask for
	Password string
	// NoAccount: the server does not know this user.
	NoAccount bool
	// NoLogin: the client encrypts its stream, and sends and receives without
	// having logged in.
	NoLogin bool
}

// Verb is what happens in a step.
type Verb string

// What can happen. The argument of a step is named behind each.
const (
	Connects       Verb = "connects"
	CannotConnect  Verb = "cannot connect" // condition of the failure, or nothing
	Sends          Verb = "sends"          // stanzas
	Receives       Verb = "receives"       // patterns, in this order
	ReceivesAny    Verb = "receives in any order"
	ReceivesAmong  Verb = "receives among others" // patterns, in this order; other stanzas are dropped
	ReceivesNone   Verb = "receives nothing"
	Disconnects    Verb = "disconnects"
	IsCutOff       Verb = "is cut off"
	IsDisconnected Verb = "is disconnected" // condition of the stream error, or nothing
	Befriends      Verb = "befriends"       // who: the two subscribe to each other before they enter
)

// verbs in the order in which a line is tried; longer ones first.
var verbs = []Verb{CannotConnect, ReceivesAny, ReceivesAmong, ReceivesNone, IsDisconnected, IsCutOff, Disconnects, Connects, Receives, Sends, Befriends}

// block says that indented XML follows the step.
func (v Verb) block() bool {
	return v == Sends || v == Receives || v == ReceivesAny || v == ReceivesAmong
}

// Step is one stage direction.
type Step struct {
	Who  string
	Verb Verb
	Arg  string // what follows the colon, on the line or indented below it
	Line int
}

// Load reads the plays whose files match a pattern, in order of name.
func Load(glob string) ([]*Play, error) {
	names, err := filepath.Glob(glob)
	if err != nil {
		return nil, fmt.Errorf("look for plays: %w", err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no play matches %s", glob)
	}
	plays := make([]*Play, 0, len(names))
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read play: %w", err)
		}
		p, err := Parse(name, string(text))
		if err != nil {
			return nil, err
		}
		plays = append(plays, p)
	}
	return plays, nil
}

// Accounts are the bare JIDs that the server must know, with their passwords.
func (p *Play) Accounts() map[string]string {
	out := map[string]string{}
	for _, c := range p.Clients {
		if !c.NoAccount && !c.NoLogin {
			bare, _, _ := strings.Cut(c.JID, "/")
			out[bare] = c.Password
		}
	}
	return out
}

// On returns the play as it reads when it is given on another domain than
// localhost.
func (p *Play) On(domain string) *Play {
	q := *p
	move := func(s string) string { return strings.ReplaceAll(s, "localhost", domain) }
	q.Config = move(p.Config)
	q.Clients = nil
	for _, c := range p.Clients {
		c.JID = move(c.JID)
		q.Clients = append(q.Clients, c)
	}
	q.Steps = nil
	for _, s := range p.Steps {
		s.Arg = move(s.Arg)
		q.Steps = append(q.Steps, s)
	}
	return &q
}

// reference is ${name}, which stands for what is known only on stage.
var reference = regexp.MustCompile(`\$\{[^}]+\}`)

// parser goes through the lines of a script.
type parser struct {
	play  *Play
	lines []string
	n     int // lines read
}

// Parse reads a script. The name of its file is for messages.
func Parse(file, text string) (*Play, error) {
	name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	p := &parser{play: &Play{Name: name, file: file}, lines: strings.Split(text, "\n")}
	for p.n < len(p.lines) {
		line := p.lines[p.n]
		p.n++
		if err := p.line(strings.TrimRight(line, " \t\r")); err != nil {
			return nil, err
		}
	}
	if p.play.Title == "" {
		return nil, p.errorf(1, "a play begins with a comment that says what it shows")
	}
	if len(p.play.Steps) == 0 {
		return nil, p.errorf(p.n, "nothing happens in this play")
	}
	return p.play, nil
}

func (p *parser) errorf(line int, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", p.play.file, line, fmt.Sprintf(format, args...))
}

func (p *parser) line(line string) error {
	switch {
	case line == "" || strings.Trim(line, "-") == "":
		return nil
	case strings.HasPrefix(line, "#"):
		if p.n == 1 {
			p.play.Title = strings.TrimSpace(strings.TrimLeft(line, "#"))
		}
		return nil
	case indented(line):
		return p.errorf(p.n, "an indented line that belongs to nothing")
	case line == "[Server]":
		config := p.block()
		var top map[string]any
		if err := yaml.Unmarshal([]byte(config), &top); err != nil {
			return p.errorf(p.n, "[Server]: %v", err)
		}
		p.play.Config += config
		return nil
	case strings.HasPrefix(line, "[Client] "):
		return p.client(strings.TrimPrefix(line, "[Client] "))
	}
	return p.step(line)
}

func indented(line string) bool { return line != "" && (line[0] == ' ' || line[0] == '\t') }

// block takes the indented lines that follow.
func (p *parser) block() string {
	var b strings.Builder
	for p.n < len(p.lines) && (indented(p.lines[p.n]) || strings.TrimSpace(p.lines[p.n]) == "") {
		b.WriteString(p.lines[p.n] + "\n")
		p.n++
	}
	return b.String()
}

func (p *parser) client(name string) error {
	at := p.n
	r := Role{Name: name}
	for _, line := range strings.Split(p.block(), "\n") {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch {
		case key == "jid":
			r.JID = value
		case key == "password":
			r.Password = value
		case key == "account" && value == "none":
			r.NoAccount = true
		case key == "login" && value == "none":
			r.NoLogin = true
		default:
			return p.errorf(at, "[Client] %s: %q is not known here; say jid, password, account: none or login: none", name, line)
		}
	}
	if r.JID == "" {
		return p.errorf(at, "[Client] %s has no jid", name)
	}
	if p.knows(name) {
		return p.errorf(at, "[Client] %s appears twice", name)
	}
	p.play.Clients = append(p.play.Clients, r)
	return nil
}

// knows says whether somebody is in the play.
func (p *parser) knows(name string) bool {
	return slices.ContainsFunc(p.play.Clients, func(r Role) bool { return r.Name == name })
}

func (p *parser) step(line string) error {
	s := Step{Line: p.n}
	head, arg, colon := strings.Cut(line, ":")
	for _, v := range verbs {
		if who, ok := strings.CutSuffix(head, " "+string(v)); ok {
			s.Who, s.Verb = who, v
			break
		}
	}
	if s.Verb == "" {
		return p.errorf(s.Line, "%q is no stage direction", line)
	}
	if !p.knows(s.Who) {
		return p.errorf(s.Line, "there is no [Client] %s", s.Who)
	}
	s.Arg = strings.TrimSpace(arg)
	if s.Verb == Befriends && !p.knows(s.Arg) {
		return p.errorf(s.Line, "there is no [Client] %s", s.Arg)
	}
	if s.Verb.block() {
		s.Arg = p.block()
		if !colon || strings.TrimSpace(s.Arg) == "" {
			return p.errorf(s.Line, "%q wants a colon, and XML indented below it", line)
		}
		if _, err := parseXML(reference.ReplaceAllString(s.Arg, "x")); err != nil {
			return p.errorf(s.Line, "%v", err)
		}
	}
	p.play.Steps = append(p.play.Steps, s)
	return nil
}
