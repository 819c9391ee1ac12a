package turn

import "time"

// idleTime is after how long an allocation is not in use any more by which its client sends nothing. Whoever is in a call sends
// consent checks every 5 s (RFC 7675 section 5.1), or at least a keepalive every 15 s (RFC 8445 section 11). A client that is gone
// sends nothing, whatever its peers, who do not know it yet, still send to it; nor is there a call by the candidates that a living
// one refreshes and does not use.
const idleTime = 20 * time.Second

// touch notes that the client sends a peer something. Most packets cost it a load.
func (r *relay) touch() {
	if !r.sent.Load() {
		r.sent.Store(true)
	}
}

// InUse returns how many allocations carry something: those of new clients, and those by which a client has sent a peer something
// in the last 20 s. It knows when only if it is asked every second or so: packets carry no time. TCP allocations (RFC 6062) count
// as long as they last, since their data passes by here, and they end with their client's connection.
func (s *Server) InUse(now time.Time) int {
	s.useMu.Lock()
	defer s.useMu.Unlock()
	s.mu.RLock() // packets need not wait
	defer s.mu.RUnlock()
	n := len(s.tcpRelays)
	for _, r := range s.relays {
		if r.user == "" {
			continue // a port that is only probed
		}
		if r.sent.Swap(false) || r.used.IsZero() {
			r.used = now
		}
		if now.Sub(r.used) < idleTime {
			n++
		}
	}
	return n
}
