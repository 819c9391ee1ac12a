package janus

import "cardea/relay/plane"

// PeerID returns the name in the media plane of a handle's PeerConnection; ok is false when there is no such session or
// handle, or when the handle has none. To ask does not keep a session alive.
func (s *Server) PeerID(session, handle uint64) (id plane.PeerID, ok bool) {
	x := s.find(session)
	if x == nil {
		return "", false
	}
	h := x.handle(handle)
	if h == nil {
		return "", false
	}
	id = h.PeerID()
	return id, id != ""
}
