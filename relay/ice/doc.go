// Package ice is the node's end of ICE: it answers the connectivity checks by which a client finds a path to the node.
//
// The node is an ICE lite agent (RFC 8445 section 2.5): it has addresses a client can reach, sends no checks of its
// own, is always the controlled side, and selects what the client nominates. The client does all the work, which is
// what a server of thousands of clients wants. Two lite agents cannot find each other, so a client that announces
// ICE lite itself cannot be served: refuse it when its session is negotiated.
//
// The parts:
//   - [Parse] and the Append functions are a STUN codec (RFC 8489) that allocates nothing, with [Key] for
//     MESSAGE-INTEGRITY; other uses of STUN and TURN belong elsewhere.
//   - [Agent] decides, without sockets, goroutines or a clock: messages and the time go in, replies and the selected
//     [Path] come out. Times are nanoseconds of one monotonic clock.
//   - [Candidates], [ParseCandidate] and [FormatCandidate] make, read and write candidates (RFC 8839).
//   - [Splitter] and [Conn] carry ICE over TCP (RFC 6544, framed as in RFC 4571) and share its port with TURN and TLS.
//
// The address of a client may change at any moment: a check with valid integrity is answered wherever it comes from,
// and its path is selected when the client nominates it.
package ice
