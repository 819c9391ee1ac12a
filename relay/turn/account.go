package turn

import (
	"net"
	"time"
)

// quota tells pion/turn whether a user may have one more allocation.
func (s *Server) quota(user, _ string, src net.Addr) bool {
	s.mu.RLock()
	full := s.full(user)
	s.mu.RUnlock()
	if full || !s.allocating.take(addrPort(src).Addr(), time.Now()) {
		s.stats.QuotaRefused.Add(1)
		return false
	}
	return true
}

// full is called with mu held.
func (s *Server) full(user string) bool {
	return s.cfg.TotalQuota > 0 && s.total >= s.cfg.TotalQuota ||
		user == guests && s.cfg.GuestQuota > 0 && s.perUser[user] >= s.cfg.GuestQuota ||
		user != guests && s.cfg.UserQuota > 0 && s.perUser[user] >= s.cfg.UserQuota
}

// addAllocation counts one more allocation of a user, with mu held. The quota handler has looked before, but not in one step with this.
func (s *Server) addAllocation(user string) error {
	if s.full(user) {
		s.stats.QuotaRefused.Add(1)
		return errQuota
	}
	s.perUser[user]++
	s.total++
	s.stats.Allocations.Add(1)
	s.stats.AllocationsTotal.Add(1)
	return nil
}

// removeAllocation is the end of addAllocation, with mu held.
func (s *Server) removeAllocation(user string) {
	s.total--
	s.stats.Allocations.Add(-1)
	if s.perUser[user]--; s.perUser[user] == 0 {
		delete(s.perUser, user)
	}
}

// remember makes a relay known. One without a user is only a probe.
func (s *Server) remember(r *relay) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	if r.user != "" {
		if err := s.addAllocation(r.user); err != nil {
			return err
		}
	}
	s.relays[r.public] = r
	return nil
}

// forget is the end of remember and allocated. It is called once.
func (s *Server) forget(r *relay) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.relays, r.public)
	if s.clients[r.client.addr] == r {
		delete(s.clients, r.client.addr)
	}
	if r.user != "" {
		s.removeAllocation(r.user)
	}
}

// rememberTCP is remember for TCP allocations.
func (s *Server) rememberTCP(l *tcpRelay) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	if err := s.addAllocation(l.user); err != nil {
		return err
	}
	s.tcpRelays[l] = struct{}{}
	return nil
}

// forgetTCP may be called more than once.
func (s *Server) forgetTCP(l *tcpRelay) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.tcpRelays[l]; ok {
		delete(s.tcpRelays, l)
		s.removeAllocation(l.user)
	}
}
