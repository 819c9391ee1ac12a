package plane

import (
	"context"
	"errors"
	"time"
)

// Errors a [Plane] returns; they may be wrapped.
var (
	// ErrNoPeer says that the peer is not open (never was, or was closed).
	ErrNoPeer = errors.New("no such peer")
	// ErrNoStream says that nobody publishes the stream.
	ErrNoStream = errors.New("no such stream")
	// ErrStale says that the request carries an older version than one already applied.
	ErrStale = errors.New("superseded by a newer version")
	// ErrInvalid says that the request contradicts itself or the session.
	ErrInvalid = errors.New("invalid request")
	// ErrOverloaded says that the media plane takes no new peers just now.
	ErrOverloaded = errors.New("media plane overloaded")
	// ErrEventsLost says that events after the given number are no longer kept: the caller must look at the state anew.
	ErrEventsLost = errors.New("events lost")
)

// PeerID names a peer. The opener chooses it, unique in the whole mesh and for all time, so that Open can be repeated.
type PeerID string

// StreamID names a published media line in the whole mesh.
type StreamID struct {
	Room      string // canonical room name, with the plugin as prefix: "videoroom/1234"
	Publisher string // canonical participant id
	Mid       string // the publisher's mid
}

// Plane is the media plane. All methods are safe for concurrent use and may be repeated without harm; calls for one
// peer are made in order by its owner. Contexts bound the call only, never what it set up.
type Plane interface {
	// Open makes a peer, or finds the one of that id, and returns the node's end of its transport.
	Open(ctx context.Context, id PeerID, opts PeerOptions) (Transport, error)
	// Restart gives the peer new ICE credentials for the given generation (1 for the first restart) and returns them.
	// A repeated or older generation returns the present ones.
	Restart(ctx context.Context, id PeerID, generation uint32) (Transport, error)
	// Negotiate applies a whole negotiated session. The first call with remote ICE credentials starts ICE and DTLS.
	Negotiate(ctx context.Context, id PeerID, s Session) error
	// AddCandidates adds remote candidates; complete says that no more will come.
	AddCandidates(ctx context.Context, id PeerID, c []Candidate, complete bool) error
	// Publish sets which received lines feed which streams, replacing what was set before.
	Publish(ctx context.Context, id PeerID, p []Publication) error
	// Subscribe sets which streams feed which sent lines, replacing what was set before. A stream that is not
	// published yet is attached as soon as it is.
	Subscribe(ctx context.Context, id PeerID, s []Subscription) error
	// Keyframe asks the stream's publisher for a keyframe; requests of many are merged.
	Keyframe(ctx context.Context, s StreamID) error
	// Forward copies a stream as plain RTP or SRTP to a UDP address until StopForward or the end of the stream.
	Forward(ctx context.Context, f Forwarder) error
	// StopForward ends a forwarder; an unknown id is not an error.
	StopForward(ctx context.Context, id string) error
	// Stats tells what the media plane sees of a peer.
	Stats(ctx context.Context, id PeerID) (PeerStats, error)
	// Close closes the peer and ends its publications and subscriptions. No event follows.
	Close(ctx context.Context, id PeerID) error
	// Events waits until there are events numbered above after and returns them in order. Of events older than the
	// plane keeps it returns ErrEventsLost together with the number to go on from in the only event.
	Events(ctx context.Context, after uint64) ([]Event, error)
}

// PeerOptions tune a new peer.
type PeerOptions struct {
	// NoMediaTimer is the silence after which a received line is reported as not receiving; 0 means 1 s.
	NoMediaTimer time.Duration
	// SlowLinkThreshold is the number of packets lost in a second that makes an [EventSlowLink]; 0 disables it.
	SlowLinkThreshold int
	// Label goes into log lines (session and handle), never onto the wire.
	Label string
}

// Kind is a kind of media line.
type Kind uint8

// The kinds of media lines.
const (
	Audio Kind = iota + 1
	Video
	Data
)

// String returns the kind as SDP and the Janus API spell it.
func (k Kind) String() string {
	switch k {
	case Audio:
		return "audio"
	case Video:
		return "video"
	case Data:
		return "data"
	}
	return "unknown"
}

// Direction says which way a line's media flows, seen from the node. It is a set: SendRecv = SendOnly|RecvOnly.
type Direction uint8

// The directions, seen from the node.
const (
	Inactive Direction = 0
	SendOnly Direction = 1
	RecvOnly Direction = 2
	SendRecv Direction = 3
)

// Sends tells whether the node sends.
func (d Direction) Sends() bool { return d&SendOnly != 0 }

// Receives tells whether the node receives.
func (d Direction) Receives() bool { return d&RecvOnly != 0 }

// Setup is the DTLS role (RFC 5763).
type Setup uint8

// The DTLS roles.
const (
	ActPass Setup = iota
	Active        // the DTLS client
	Passive       // the DTLS server
)

// Transport is one end of a peer's transport: the node's as Open and Restart return it, or the client's.
type Transport struct {
	Ufrag, Pwd   string        // ICE credentials (RFC 8445)
	Lite         bool          // ICE lite
	Fingerprints []Fingerprint // of the DTLS certificate
	Setup        Setup         // the role this end takes
	Candidates   []Candidate
	Complete     bool // no more candidates follow
}

// Fingerprint is the hash of a DTLS certificate (RFC 8122).
type Fingerprint struct {
	Algorithm string // "sha-256", "sha-1", ..., lower case
	Value     string // upper-case hex pairs joined by colons
}

// Candidate is an ICE candidate (RFC 8839).
type Candidate struct {
	Foundation string
	Component  uint16 // 1: RTP and RTCP are always multiplexed
	Protocol   string // "udp" or "tcp"
	Priority   uint32
	Address    string // IP address, or an mDNS name, which is ignored
	Port       uint16
	Type       string // "host", "srflx", "prflx" or "relay"
	TCPType    string // "active", "passive" or "so", with tcp only
}

// Session is a whole negotiated session.
type Session struct {
	Version uint64    // grows with every negotiation; older ones are refused with ErrStale
	Remote  Transport // the client's end
	Setup   Setup     // the role the node takes: Active or Passive
	Lines   []Line    // in the order of the m-lines
}

// Line is one negotiated m-line.
type Line struct {
	Mid        string
	Kind       Kind
	Direction  Direction
	Codecs     []Codec     // as agreed, the preferred first; RED, when agreed, is an entry of its own
	Extensions []Extension // RTP header extensions as agreed
	Receive    []Encoding  // what the client said it sends, the lowest quality first; may be empty (found by mid and rid)
	SVC        bool        // the client says that it sends spatial layers in one encoding
	SSRC       uint32      // of what the node sends; 0 when it sends nothing
	RTX        uint32      // SSRC of the node's retransmissions (RFC 4588); 0 for none
	SCTPPort   uint16      // Data only
	MaxMessage uint32      // Data only: largest message the client takes, bytes; 0 means 64 KiB (RFC 8841)
}

// Codec is one payload format of a line.
type Codec struct {
	Name        string // lower case: opus, red, multiopus, pcmu, pcma, g722, l16, isac, vp8, vp9, h264, av1, h265
	PayloadType uint8
	ClockRate   uint32
	Channels    uint8 // audio only
	Fmtp        string
	RTX         uint8 // payload type of retransmissions; 0 for none
	NACK        bool  // generic NACK agreed (RFC 4585)
	PLI         bool
	FIR         bool
	REMB        bool
	TransportCC bool
}

// Extension is an agreed RTP header extension (RFC 8285).
type Extension struct {
	ID  uint8
	URI string
}

// The RTP header extensions the media plane knows.
const (
	ExtAudioLevel           = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
	ExtAbsSendTime          = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
	ExtTransportCC          = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
	ExtMid                  = "urn:ietf:params:rtp-hdrext:sdes:mid"
	ExtRID                  = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
	ExtRepairedRID          = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
	ExtAbsCaptureTime       = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"
	ExtPlayoutDelay         = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
	ExtVideoOrientation     = "urn:3gpp:video-orientation"
	ExtDependencyDescriptor = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
)

// Encoding is one simulcast encoding a client announced.
type Encoding struct {
	RID      string // RFC 8851; empty when SSRCs are announced
	SSRC     uint32 // 0 when found by rid
	RTX      uint32 // SSRC of its retransmissions, 0 when unknown
	Disabled bool   // announced as paused (~rid)
}

// Publication feeds a stream from a received line.
type Publication struct {
	Mid              string
	Stream           StreamID
	Muted            bool          // packets are dropped (moderated, or the publisher's own send:false)
	Bitrate          uint32        // bits/s asked of the client by REMB; 0 for no limit
	BitrateCap       bool          // the limit also bounds what bandwidth estimation lets the client send
	KeyframeInterval time.Duration // ask for a keyframe this often; 0 for never
	Talking          *Talking      // report talking and stopped-talking; nil for never
}

// Talking says when a publisher counts as talking.
type Talking struct {
	Packets int   // audio packets averaged, at least 1
	Level   uint8 // dBov below zero, 0 (loud) to 127; talking when the average is below
}

// Subscription feeds a sent line from a stream. A data line may have several.
type Subscription struct {
	Mid          string
	Stream       StreamID
	Paused       bool
	Substream    int8          // highest simulcast substream wanted, 0 lowest to 2; -1 for the highest
	Temporal     int8          // highest temporal layer of simulcast wanted; -1 for the highest
	SpatialLayer int8          // highest SVC spatial layer wanted; -1 for the highest
	TemporalSVC  int8          // highest SVC temporal layer wanted; -1 for the highest
	Fallback     time.Duration // silence of a substream after which the next lower one is taken; 0 means 250 ms
	PlayoutDelay *PlayoutDelay // written into packets instead of the publisher's; nil passes the publisher's
	Label        string        // Data only: label of the channel the messages go to; empty for the one they came on
	TextPrefix   string        // Data only: put before text messages
}

// PlayoutDelay bounds how long the receiver may hold a frame, in steps of 10 ms up to 40.95 s.
type PlayoutDelay struct{ Min, Max time.Duration }

// Forwarder copies a stream to a UDP address (janus "rtp_forward").
type Forwarder struct {
	ID          string // chosen by the caller, unique
	Stream      StreamID
	Address     string // host:port, the host an IP address
	PayloadType uint8  // 0 keeps the publisher's
	SSRC        uint32 // 0 keeps the publisher's
	Substream   int8   // the only simulcast substream forwarded; -1 follows the best one
	SRTPSuite   int    // 32 or 80 (AES_CM_128_HMAC_SHA1_n, RFC 4568); 0 for plain RTP
	SRTPKey     []byte // master key and salt, 30 bytes
	RTCPPort    uint16 // remote port that PLI and FIR come from, 0 for none; the media plane does not listen to it yet
}
