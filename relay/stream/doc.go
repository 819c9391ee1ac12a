// Package stream holds one published media line: its packets for a second, its layers, and the fan-out to whoever takes it.
//
// A [Stream] is fed by one source (a peer's received line, or a link) and hands every burst of packets to its sinks. A
// [Track] is what a sink for a subscriber decides with: which layer to relay, under which continuous sequence numbers and
// timestamps, and what to send again. It also finds streams by their id: a [Directory].
//
// Everything here is pure: no sockets, no goroutines, no clock. Times are nanoseconds of one monotonic clock and are
// handed in. Nothing allocates per packet once the caches have their size.
//
// # Locking
//
// A stream has one lock. [Stream.Reserve] takes it and [Stream.Commit] or [Stream.Abort] gives it back; [Stream.Flush]
// holds it while the sinks work. Packets live in the cache and are valid while the stream stays locked. A Track has no lock
// of its own: its methods are called with the lock of the stream it is attached to held, either because [Sink.Forward] is
// called that way, or after [Stream.Lock]. Whoever holds a peer's lock may take a stream's, never the other way round.
//
// # Numbers
//
// Sequence numbers of a layer are extended to 64 bits by the source and only grow. Outgoing numbers are 48 bits, the SRTP
// packet index ROC<<16|SEQ (RFC 3711 section 3.3.1). An outgoing number is never used for two different packets: it is the
// nonce of the encryption.
package stream
