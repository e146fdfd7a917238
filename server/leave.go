package server

import (
	"github.com/gabberd/gabberd/xmpp/stream"
)

// parting is what clients are told when this server ends: where to go, if the
// operator has named a place, or that the server goes down (RFC 6120 §4.9.3.19 and
// §4.9.3.20).
func (s *Server) parting() *stream.Error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if to := s.conf.global.SeeOtherHost; to != "" {
		return stream.SeeOtherHost.At(to)
	}
	return stream.SystemShutdown
}
