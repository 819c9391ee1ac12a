// Package peer is the server end of one client's WebRTC transport: ICE lite, DTLS, SRTP, the lines of its session, and
// the feedback that goes with them.
//
// A received line feeds a stream (up.go); a sent line is a sink of a stream (down.go); RTCP both ways, bandwidth and
// pacing are in feedback.go, report.go and bandwidth.go; what keeps clients from sending layers that nobody wants in hold.go; data
// channels in channels.go.
//
// Packets run to completion in the goroutine that read them from the socket: a peer has no goroutine on that path. What
// is periodic is done by [Peer.Tick], which the node's ticker calls. A peer's own goroutine only does the DTLS handshake;
// a connection with no data channels is then put away until the client's next record (rest.go).
//
// Locks, in the order in which they may be taken: Peer.mu (the session, the receiving side, feedback), the stream
// directory, downTrack.mu (which stream a sent line is attached to), the stream's lock (everything a fan-out touches).
package peer
