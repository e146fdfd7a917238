package antispam

import (
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/gabberd/gabberd/xmpp"
)

// maxWaiting bounds the stanzas that are still to be written.
const maxWaiting = 1000

// dump writes stanzas into a file, beside the stanzas' way. It opens the file each
// time, so that it may be moved away.
type dump struct {
	name    string
	log     *slog.Logger
	waiting chan string
	over    chan struct{}
	writing sync.WaitGroup
}

func newDump(name string, log *slog.Logger) *dump {
	d := &dump{name: name, log: log, waiting: make(chan string, maxWaiting), over: make(chan struct{})}
	d.writing.Go(func() {
		for {
			select {
			case text := <-d.waiting:
				d.write(text)
			case <-d.over:
				for len(d.waiting) > 0 {
					d.write(<-d.waiting)
				}
				return
			}
		}
	})
	return d
}

// put has a stanza written; where too many wait it is not.
func (d *dump) put(st *xmpp.Stanza) {
	select {
	case d.waiting <- time.Now().UTC().Format(time.RFC3339) + " " + st.XML() + "\n":
	default:
		d.log.Warn("too much spam at once to write it down", "file", d.name)
	}
}

func (d *dump) write(text string) {
	f, err := os.OpenFile(d.name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err == nil {
		_, err = f.WriteString(text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		d.log.Error("spam cannot be written down", "file", d.name, "error", err)
	}
}

// stop writes what waits.
func (d *dump) stop() {
	close(d.over)
	d.writing.Wait()
}
