// Package plane is the seam between signaling, which says what should be, and the media plane, which does it.
//
// It holds data types and one interface, [Plane], and imports nothing of ours. Every call could cross a wire: plain
// data in, plain data out, no callbacks, no SDP and no types of a WebRTC library. Every call states what should be
// (the whole set of lines, of publications, of subscriptions), so repeating one does no harm, and a caller that does
// not know whether a call arrived simply makes it again.
//
// Numbers in tags name the fields on the wire, as protobuf does: another node may run another version of the program, so a
// new field gets a new number, and a number is never used again.
//
// Words: a peer is the server end of one client's WebRTC transport; a line is one m-line of its session; a stream is
// one published media line, named by [StreamID] wherever it was published; a layer is one simulcast or SVC quality.
// Directions are the node's: a line the node sends on is [SendOnly].
package plane
