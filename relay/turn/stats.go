package turn

import "sync/atomic"

// Stats counts what a server did. The fields are updated while they are read; take each with Load.
type Stats struct {
	Allocations      atomic.Int64  // at present
	AllocationsTotal atomic.Uint64 // ever made
	Streams          atomic.Int64  // TCP, TLS and DTLS connections at present

	ToPeerPackets, ToPeerBytes     atomic.Uint64 // relayed from clients to peers, payload bytes
	FromPeerPackets, FromPeerBytes atomic.Uint64 // relayed from peers to clients by channel, payload bytes

	AuthFailures   atomic.Uint64 // requests with credentials that are wrong or expired
	QuotaRefused   atomic.Uint64 // allocations refused by a quota or a rate
	RateDropped    atomic.Uint64 // requests dropped by the limit for the unauthorized
	DeniedPeers    atomic.Uint64 // permissions refused and packets dropped by the rules for peers
	QueueDropped   atomic.Uint64 // requests dropped, the queue being full
	Malformed      atomic.Uint64 // neither STUN nor ChannelData of a known channel, or too large
	Refused        atomic.Uint64 // connections closed at once: too many, or a handshake that failed
	BindingAnswers atomic.Uint64 // STUN Binding requests answered
}
