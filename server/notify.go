package server

import (
	"net"
	"os"
)

// notifyReady and notifyStopping tell systemd, if it is that which runs us
// (sd_notify(3)).
func notifyReady()    { notify("READY=1") }
func notifyStopping() { notify("STOPPING=1") }

func notify(state string) {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return // nobody listens: nobody to tell that either
	}
	defer c.Close()
	c.Write([]byte(state))
}
