// Package link joins two nodes by one QUIC connection that carries media across an ocean, and everything else they say to each other.
//
// An [Endpoint] is this node's end of all its links. A [Link] is dialled when somebody asks for it, shared by all who do, and closed when nobody
// has used it for five minutes. Under its QUIC lies cardea/relay/shield, above QUIC's datagrams cardea/relay/shield/queue. What it leaves
// out: who is a member and where (Config.Resolve tells), which streams go where, and what the messages say.
//
// # Who is there
//
// Both ends show certificates (TLS 1.3, ALPN "cardea/1"); the id in them has to be that of a member, and of the one that was dialled. Each
// then says hello: version, features, and which run of the node it is. Links between two nodes have generations. Who dials names the latest that
// it knows; who hears of one that is over already, while it has a newer one, knows that both dialled at once, and that link stays. If both have said hello and neither
// has heard the other's, the dial of the lower id is the link. A node that has been restarted, or that holds the link for dead, gets a
// new one at once. The end of the old one is told before the beginning of the new one.
//
// # What goes over it
//
// Calls have a stream each. Notices go on the stream of the hello, in order; who sends never waits, and who does not take them loses the link.
// Media goes in datagrams, as RTP over QUIC (draft-ietf-avtcore-rtp-over-quic): a flow id, then the packet. The receiver of a flow chooses the
// id ([Link.NewFlow]) and gives it to the sender in its request. An [Export] is a sink of a stream, an [Import] feeds one: packets come out
// of it as they went in, so nothing above can tell how many links they have crossed.
//
//	flow id      varint (RFC 9000 section 16): flow<<3 | simulcast layer
//	RTP header   sequence number (its lower 16 bits), timestamp, SSRC, marker, payload type as the publisher sent them
//	extensions   1 audio level, 2 video orientation, 3 playout delay, 4 absolute capture time, 5 dependency descriptor, where the
//	             publisher sent them, under these ids; 6: upper bits of the sequence number, 1 to 6 bytes, two's complement
//	payload
//
// Extension 6 is on the first 16 packets of each layer, on 16 after its value changed, on keyframes, and on each 32nd number: all nodes give a packet the same
// 64-bit number whichever way it came, for a quarter of a byte a packet. A flow that begins on a link begins with what the cache keeps since
// the last keyframe. Sender reports are RTCP in the same flow; their NTP times are put on the receiving node's clock, with one offset
// for all streams of a publisher. Flow 0 is the link's own: layer 0 are raw datagrams, layer 1 is padding, others are for later versions.
//
// Nothing is asked for again on a link: the shield has repaired what can be. What arrives is taken in batches by one goroutine, which commits to the
// streams and then flushes each once. Where two links feed a stream, as while its parent changes, flushing and sending are one step for each.
//
// # Warm
//
// quic-go's congestion window grows only while it is full, and Reno's is needed wider than what is carried. A link with exports is padded, within the
// shield's budget, until its window is three times that. If the window stays shut all the same, for losses from before the shield was
// there, another connection to the same place carries the datagrams from then on; both are behind one shield.
//
// # Bounds
//
// A member may do what it likes and harms its own link only: 256 calls are answered at a time, of 4 MiB each and 32 MiB together; notices are at most
// 256 KiB; packets are kept for flows that were announced, 256 each and 4,096 in all; links from one member are taken once a second, but for ten.
// A link of which nothing was heard for 1.8 s is over.
//
// # Locks
//
// A stream's lock is taken while flows.mu is held, never the other way round; feeds.mu and feed.mu come between the two. exports.mu is taken before a stream's.
// Endpoint.mu is held for books only.
package link
