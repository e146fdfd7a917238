package server

import (
	"net"
	"strings"

	"github.com/gabberd/gabberd/local"
)

// hint says what to type next on a server that has no accounts yet.
func (s *Server) hint() {
	hosts := s.running()
	if s.opt.Tool == "" || len(hosts) == 0 {
		return
	}
	for _, h := range hosts {
		if s.hasAccounts(h) {
			return
		}
	}
	domain := hosts[0].Domain
	s.log.Info("to make the first account, type: " + s.opt.Tool + s.dataOption() + " register admin " + domain + " SECRET")
	for _, l := range s.listens() {
		at, ok := l.ln.Addr().(*net.TCPAddr)
		if l.module != "ejabberd_c2s" || !ok {
			continue
		}
		server := at.IP.String()
		if at.IP.IsUnspecified() {
			server = "127.0.0.1"
		}
		line := "to connect, have a client log in as admin@" + domain + " with that password, server " + net.JoinHostPort(server, l.place.Port)
		if s.certs.set.Load().find(domain) == nil {
			line += ", and trust the self-signed certificate"
		}
		s.log.Info(line)
		return
	}
}

// hasAccounts reports whether there is an account. A database that does not
// answer is no reason to say what to do first.
func (s *Server) hasAccounts(h *local.Host) bool {
	for range h.Auth.Users(s.ctx, "") {
		return true
	}
	return false
}

// dataOption is how gabberdctl is told where this server is, if it would not
// look there by itself.
func (s *Server) dataOption() string {
	dir := s.opt.Data
	switch {
	case dir == localData, dir == systemData:
		return ""
	case strings.ContainsAny(dir, " \t\n'\"\\$`!*?[]{}()<>|&;#~"):
		return " --data '" + strings.ReplaceAll(dir, "'", `'\''`) + "'"
	}
	return " --data " + dir
}
