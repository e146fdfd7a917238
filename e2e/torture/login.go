package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// A card is what a client logs in with, and what it wants.
type card struct {
	user     string
	resource string  // with a user agent: its tag
	agent    string  // UUID of its user agent: it logs in by SASL2 and Bind 2; empty: as RFC 6120 says
	resume   bool    // its stream shall be one that can be resumed
	prev     *stream // which it tries to resume first; nil for none
	h        uint32  // how many stanzas it says that it has got on that
	only     bool    // it does not bind if that fails
	fickle   bool    // its connection breaks as soon as it has asked to resume
}

// A verdict is what the server says to who wants to resume.
type verdict uint8

const (
	unheard    verdict = iota // nothing
	resumed                   // <resumed/>
	failed                    // <failed/>
	failedWith                // <failed/> that says how much was handled
)

// errNotResumed is the error of a login that was to resume and nothing else.
var errNotResumed = errors.New("the stream could not be resumed")

// login is what a client does before it is anybody: plain TCP, SASL PLAIN, bind,
// and acknowledgements enabled; or SASL2 with all of that at once. It may resume a
// stream instead. What the server says to that is told whatever becomes of the rest,
// with its count if it has told one.
func login(ctx context.Context, n *node, c card) (s *stream, v verdict, h uint32, err error) {
	ctx, cancel := context.WithTimeout(ctx, loginPatience)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", n.addr())
	if err != nil {
		return nil, unheard, 0, err
	}
	if c.prev != nil && c.prev.node != n {
		c.prev.strayed.Store(true)
	}
	watch := context.AfterFunc(ctx, func() { conn.Close() })
	e := &entry{stream: &stream{node: n, conn: conn, life: n.lives.Load()}, card: c}
	if err := e.negotiate(); err != nil {
		watch()
		return nil, e.verdict, e.h, errors.Join(err, ctx.Err(), conn.Close())
	}
	if !watch() {
		return nil, e.verdict, e.h, ctx.Err()
	}
	e.stream.began, e.stream.heard = time.Now(), time.Now()
	return e.stream, e.verdict, e.h, nil
}

// An entry is a login under way.
type entry struct {
	*stream
	card    card
	verdict verdict
	h       uint32 // as the verdict has it
}

func (e *entry) negotiate() error {
	in := bufio.NewReader(e.conn)
	if _, err := e.open(in); err != nil {
		return err
	}
	secret := base64.StdEncoding.EncodeToString([]byte("\x00" + e.card.user + "\x00" + password))
	if e.card.agent != "" {
		return e.authenticate(secret)
	}
	if _, err := e.ask("<auth xmlns='"+nsSASL+"' mechanism='PLAIN'>"+secret+"</auth>", "success"); err != nil {
		return err
	}
	features, err := e.open(in)
	if err != nil {
		return err
	}
	if e.card.prev != nil {
		if done, err := e.resume(); done || err != nil {
			return err
		}
	}
	bound, err := e.ask("<iq type='set' id='bind'><bind xmlns='"+nsBind+"'><resource>"+e.card.resource+"</resource></bind></iq>", "iq")
	if err != nil {
		return err
	}
	bind := bound.child(nsBind, "bind")
	if bound.attr("type") != "result" || bind == nil || len(bind.Children) != 1 {
		return fmt.Errorf("bind: %s", text(bound))
	}
	e.full = bind.Children[0].Text
	if features.child(nsAcks, "sm") == nil {
		return nil
	}
	return e.enable()
}

// request is how the client asks for its stream (XEP-0198 §5).
func (e *entry) request() string {
	return fmt.Sprintf("<resume xmlns='%s' h='%d' previd='%s'/>", nsAcks, e.card.h, e.card.prev.id)
}

// resume asks for the stream of before, in place of binding.
func (e *entry) resume() (done bool, err error) {
	if _, err := io.WriteString(e.conn, e.request()); err != nil {
		return false, err
	}
	if e.card.fickle {
		return false, errCut
	}
	el, err := e.receive()
	if err != nil {
		return false, fmt.Errorf("wait to resume: %w", err)
	}
	return e.judged(el)
}

// judged takes in the answer to a wish to resume.
func (e *entry) judged(el *element) (done bool, err error) {
	h, err := strconv.ParseUint(el.attr("h"), 10, 32)
	switch {
	case el.XMLName.Space != nsAcks:
		return false, fmt.Errorf("%s came instead of an answer to resume: %s", el.XMLName.Local, text(el))
	case el.XMLName.Local == "resumed" && err == nil && el.attr("previd") == e.card.prev.id:
		e.verdict, e.h, e.had = resumed, uint32(h), uint32(h)
		e.adopt(e.card.prev, e.card.h)
		return true, nil
	case el.XMLName.Local != "failed":
		return false, fmt.Errorf("an answer to resume: %s", text(el))
	}
	e.verdict = failed
	if err == nil {
		e.verdict, e.h = failedWith, uint32(h)
	}
	if e.card.only {
		return false, errNotResumed
	}
	return false, nil
}

// enabling asks for acknowledgements.
func (e *entry) enabling() string {
	return "<enable xmlns='" + nsAcks + "'" + word(e.card.resume, " resume='true'") + "/>"
}

// authenticate does everything in one round trip (XEP-0388, XEP-0386, XEP-0198 §10).
func (e *entry) authenticate(secret string) error {
	ask := "<authenticate xmlns='" + nsSASL2 + "' mechanism='PLAIN'><initial-response>" + secret + "</initial-response>" +
		"<user-agent id='" + e.card.agent + "'><software>torture</software></user-agent>"
	if e.card.prev != nil {
		ask += e.request()
	}
	if !e.card.only {
		ask += "<bind xmlns='" + nsBind2 + "'><tag>" + e.card.resource + "</tag>" + e.enabling() + "</bind>"
	}
	if _, err := io.WriteString(e.conn, ask+"</authenticate>"); err != nil {
		return err
	}
	if e.card.fickle && e.card.prev != nil {
		return errCut
	}
	success, err := e.expect("success")
	if err != nil {
		return err
	}
	if e.card.prev != nil {
		if err := e.resumed2(success); err != nil {
			return err
		}
	}
	if e.verdict == resumed {
		return nil // the old stream goes on, which has had its features
	}
	e.full = success.Children[0].Text
	enabled := &element{}
	if bound := success.child(nsBind2, "bound"); bound != nil {
		enabled = bound.child(nsAcks, "enabled")
	}
	if enabled == nil || enabled.XMLName.Local == "" || success.Children[0].XMLName.Local != "authorization-identifier" {
		return fmt.Errorf("bind: %s", text(success))
	}
	e.on, e.id = true, enabled.attr("id")
	_, err = e.expect("features")
	return err
}

// resumed2 looks for the answer to a wish to resume that came with the login.
func (e *entry) resumed2(success *element) error {
	for _, name := range []string{"resumed", "failed"} {
		if el := success.child(nsAcks, name); el != nil {
			_, err := e.judged(el)
			return err
		}
	}
	return fmt.Errorf("no answer to resume: %s", text(success))
}

// enable turns acknowledgements on. Somebody may already have written to the JID
// that was bound: what comes before the answer is not counted.
func (e *entry) enable() error {
	e.on = true
	if _, err := io.WriteString(e.conn, e.enabling()); err != nil {
		return err
	}
	for {
		el, err := e.receive()
		if err != nil {
			return fmt.Errorf("enable acknowledgements: %w", err)
		}
		switch el.XMLName.Local {
		case "enabled":
			e.id = el.attr("id")
			return nil
		case "message", "presence", "iq":
			e.early = append(e.early, el)
		default:
			return fmt.Errorf("enable acknowledgements: %s", text(el))
		}
	}
}

// open sends a stream header and returns the features it is answered with.
func (s *stream) open(in *bufio.Reader) (*element, error) {
	_, err := fmt.Fprintf(s.conn, "<?xml version='1.0'?><stream:stream to='%s' version='1.0' xmlns='jabber:client' xmlns:stream='%s'>", domain, nsStream)
	if err != nil {
		return nil, err
	}
	s.dec = xml.NewDecoder(in)
	for {
		tok, err := s.dec.Token()
		if err != nil {
			return nil, fmt.Errorf("open stream: %w", err)
		}
		if _, ok := tok.(xml.StartElement); ok {
			break
		}
	}
	return s.expect("features")
}

// ask writes, and waits for an element with this name.
func (s *stream) ask(what, name string) (*element, error) {
	if _, err := io.WriteString(s.conn, what); err != nil {
		return nil, err
	}
	return s.expect(name)
}

// expect is for the login alone: what comes meanwhile is not kept.
func (s *stream) expect(name string) (*element, error) {
	el, err := s.receive()
	if err != nil {
		return nil, fmt.Errorf("wait for %s: %w", name, err)
	}
	if el.XMLName.Local != name {
		return nil, fmt.Errorf("%s came instead of %s: %s", el.XMLName.Local, name, text(el))
	}
	return el, nil
}
