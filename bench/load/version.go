package load

import (
	"fmt"
	"time"
)

// Version asks a server what it is (XEP-0092), as the target's first user. It
// returns name and version, and waits for them at most half a minute.
func Version(t Target) (string, error) {
	w := &worker{Job: Job{Target: t}, password: t.Password, clock: time.Now()}
	if err := t.local(); err != nil {
		return "", err
	}
	keys, err := openKeyring("")
	if err != nil {
		return "", err
	}
	w.keys, w.tls = keys, tlsConfig(t)
	s := w.users(0, 1)[0]
	defer s.close()
	if err := w.login(s, quiet); err != nil {
		return "", fmt.Errorf("ask for the version: %w", err)
	}
	e, err := s.reply("version", "<iq type='get' id='version' to='"+t.Domain+"'><query xmlns='jabber:iq:version'/></iq>")
	if err != nil {
		return "", fmt.Errorf("ask for the version: %w", err)
	}
	return string(text(e, "name")) + " " + string(text(e, "version")), nil
}
