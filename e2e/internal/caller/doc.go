// Package caller is a client of a node as tests in Go need it: the Janus API over one WebSocket connection, and calls
// whose media is pion's.
//
// A [Publisher] sends what a camera and a microphone would, each packet with a number and the time it left; a
// [Subscriber] tells from that what was lost on the way and how long the rest took. A [Speaker] sends messages, which
// subscribers keep. Each call has a UDP socket of its own, so that a client can vanish without a word, and so that a test
// can send from a client's address what is not the client's.
package caller
