package load

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// What a session does when it is bound.
type arrival int

const (
	quiet     arrival = iota // asks for its roster and no more
	available                // and says that it is there
)

// login makes a session of a user: socket, TLS, SASL, resource, roster and, if
// wanted, presence. It is done when the roster has come.
func (w *worker) login(s *session, a arrival) error {
	if err := w.connect(s); err != nil {
		return err
	}
	if w.Target.Relay {
		return w.join(s)
	}
	features, err := w.secure(s)
	if err != nil {
		return err
	}
	if err := w.authenticate(s, features); err != nil {
		return err
	}
	return w.bind(s, a)
}

// join tells the bare relay which two sockets belong together: those of an even
// user and the next one.
func (w *worker) join(s *session) error {
	e, err := s.ask("<stream:stream pair='" + w.Target.Prefix + strconv.Itoa((w.First+s.number)/2) + "'>")
	if err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	if !is(e, "stream:stream") {
		return fmt.Errorf("relay: %.100s", e)
	}
	return nil
}

// choose is the mechanism that both sides have.
func (w *worker) choose(features []byte) (string, error) {
	for _, m := range mechanisms() {
		offered := bytes.Contains(features, []byte(">"+m+"<"))
		if offered && (w.Target.Mechanism == "" || w.Target.Mechanism == m) {
			return m, nil
		}
	}
	return "", fmt.Errorf("no mechanism for us (%q) in %.400s", w.Target.Mechanism, features)
}

// authenticate logs in with the first mechanism that both sides have.
func (w *worker) authenticate(s *session, features []byte) error {
	m, err := w.choose(features)
	if err != nil {
		return err
	}
	if m == "PLAIN" {
		e, err := s.ask(auth(m, "\x00"+s.user+"\x00"+w.password))
		return succeeded(e, err)
	}
	x := newScram(m, s.user, "")
	e, err := s.ask(auth(m, x.start()))
	if err != nil {
		return err
	}
	answer, err := w.respond(x, m, s.user, e)
	if err != nil {
		return err
	}
	e, err = s.ask("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>" + base64.StdEncoding.EncodeToString([]byte(answer)) + "</response>")
	if err := succeeded(e, err); err != nil {
		return err
	}
	final, err := base64.StdEncoding.DecodeString(string(text(e, "success")))
	if err != nil {
		return fmt.Errorf("success: %w", err)
	}
	return x.finish(string(final))
}

// respond is the client's answer to the server's challenge.
func (w *worker) respond(x *scram, mechanism, user string, e []byte) (string, error) {
	if !is(e, "challenge") {
		return "", fmt.Errorf("%w: %.200s", errRefused, e)
	}
	challenge, err := base64.StdEncoding.DecodeString(string(text(e, "challenge")))
	if err != nil {
		return "", fmt.Errorf("challenge: %w", err)
	}
	return x.answer(string(challenge), w.keys.salted(mechanism+" "+user, w.password, x.hash))
}

func auth(mechanism, first string) string {
	return "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='" + mechanism + "'>" + base64.StdEncoding.EncodeToString([]byte(first)) + "</auth>"
}

func succeeded(e []byte, err error) error {
	if err == nil && !is(e, "success") {
		err = fmt.Errorf("%w: %.200s", errRefused, e)
	}
	return err
}

// bind takes a resource and asks for the roster.
func (w *worker) bind(s *session, a arrival) error {
	if _, err := w.stream(s); err != nil {
		return err
	}
	e, err := s.reply("bind", "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>"+cmp.Or(s.resource, "load")+"</resource></bind></iq>")
	if err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	if s.full = string(text(e, "jid")); s.full == "" {
		return fmt.Errorf("bind: %.200s", e)
	}
	return w.arrive(s, a)
}

// arrive asks for the roster, and waits for it.
func (w *worker) arrive(s *session, a arrival) error {
	ask := "<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>"
	if a == available {
		ask += "<presence/>"
	}
	e, err := s.reply("roster", ask)
	if err != nil {
		return fmt.Errorf("roster: %w", err)
	}
	if failed(e) {
		return fmt.Errorf("roster: %.200s", e)
	}
	s.scan.keep()
	return nil
}

// loginAll logs sessions in, several at once, and hands them to the loop. It
// fails when one of them fails: without its user a workload measures nothing.
func (w *worker) loginAll(all []*session, a arrival) error {
	return w.timed(all, func(s *session) error { return w.login(s, a) })
}

// timed logs all of them in, several at once, and measures it.
func (w *worker) timed(all []*session, login func(*session) error) error {
	began := time.Now()
	err := w.each(all, func(s *session, h *Histogram) error {
		t := time.Now()
		err := login(s)
		h.Add(time.Since(t))
		return err
	})
	if err != nil {
		return err
	}
	w.tally.LoginSeconds += time.Since(began).Seconds()
	w.tally.Logins += uint64(len(all))
	return nil
}

// each works through sessions on several goroutines until one of them fails.
// What they measure is added to the times of logins.
func (w *worker) each(all []*session, do func(*session, *Histogram) error) error {
	var (
		next   atomic.Int64
		mu     sync.Mutex
		failed error
		group  sync.WaitGroup
	)
	for range min(w.Concurrent, len(all)) {
		group.Go(func() {
			var h Histogram
			var err error
			for err == nil {
				i := int(next.Add(1)) - 1
				if i >= len(all) {
					break
				}
				if err = do(all[i], &h); err != nil {
					err = fmt.Errorf("%s: %w", all[i].user, err)
					next.Store(int64(len(all)))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			w.tally.LoginTime.Merge(&h)
			if failed == nil {
				failed = err
			}
		})
	}
	group.Wait()
	return failed
}

// attach hands sessions to the loop.
func (w *worker) attach(all []*session) error {
	for _, s := range all {
		if err := w.loop.add(s); err != nil {
			return fmt.Errorf("%s: %w", s.user, err)
		}
	}
	return nil
}

// register makes the users where they do not exist yet (XEP-0077), and logs
// each of them in once so that its derived password is known.
func (w *worker) register() error {
	all := w.users(w.First, w.Sessions)
	began := time.Now()
	err := w.each(all, func(s *session, h *Histogram) error {
		defer s.close()
		t := time.Now()
		if err := w.makeAccount(s); err != nil {
			return err
		}
		h.Add(time.Since(t))
		return nil
	})
	w.tally.LoginSeconds = time.Since(began).Seconds()
	w.tally.Logins = uint64(len(all))
	return err
}

// makeAccount registers one user. A refusal is no error yet: the account may
// exist already, and logging in tells.
func (w *worker) makeAccount(s *session) error {
	refusal := w.apply(s)
	s.again()
	if err := w.connect(s); err != nil {
		return err
	}
	features, err := w.secure(s)
	if err != nil {
		return err
	}
	if err := w.authenticate(s, features); err != nil {
		if refusal != nil {
			err = fmt.Errorf("%w (registering it: %w)", err, refusal)
		}
		return err
	}
	return nil
}

// apply asks for an account.
func (w *worker) apply(s *session) error {
	if err := w.connect(s); err != nil {
		return err
	}
	if _, err := w.secure(s); err != nil {
		return err
	}
	e, err := s.reply("register", "<iq type='set' id='register' to='"+w.Target.Domain+"'><query xmlns='jabber:iq:register'><username>"+
		s.user+"</username><password>"+w.password+"</password></query></iq>")
	if err == nil && failed(e) {
		err = fmt.Errorf("refused: %.300s", e)
	}
	return err
}
