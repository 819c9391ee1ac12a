package far

import (
	"fmt"

	"cardea/relay/plane"
)

// Bounds on what one call may hold; a session of a browser has a few dozen lines, and a server may feed hundreds.
const (
	maxLines      = 2048
	maxCandidates = 1024
	maxName       = 1024 // of peers, sessions, forwarders: bytes
)

// check refuses a session that says what no session can: it may come from a node that went wrong.
func check(s *plane.Session) error {
	if len(s.Lines) > maxLines || len(s.Remote.Candidates) > maxCandidates || s.Setup > plane.Passive || s.Remote.Setup > plane.Passive {
		return fmt.Errorf("%w: %d lines, %d candidates, setup %d", plane.ErrInvalid, len(s.Lines), len(s.Remote.Candidates), s.Setup)
	}
	for i := range s.Lines {
		if l := &s.Lines[i]; l.Kind < plane.Audio || l.Kind > plane.Data || l.Direction > plane.SendRecv {
			return fmt.Errorf("%w: line %d of kind %d with direction %d", plane.ErrInvalid, i, l.Kind, l.Direction)
		}
	}
	return nil
}

// checkCount refuses more of something than a call may hold.
func checkCount(n, limit int) error {
	if n > limit {
		return fmt.Errorf("%w: %d of them", plane.ErrInvalid, n)
	}
	return nil
}
