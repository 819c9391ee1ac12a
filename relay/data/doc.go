// Package data carries WebRTC data channels: SCTP over a DTLS connection that somebody else established (RFC 8831,
// RFC 8832), seen as labelled messages.
//
// An [Association] accepts the channels its peer opens and hands their messages up whole. Messages down go by label: the
// channel of that label, whoever opened it, or a new one. [Association.Send] never blocks and never waits for a slow
// peer: what does not fit the queue is dropped and counted.
//
// What every peer may cost is bounded: channels, labels, message size, the receive window, the queue, and what SCTP
// itself holds unacknowledged. An idle association owns one goroutine, SCTP's three and one for each open channel; the
// one that sends exists only while there is something to send.
//
// Who may talk to whom, and what labels mean, is decided elsewhere.
package data
