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
	Room      string `pb:"1"` // canonical room name, with the plugin as prefix: "videoroom/1234"
	Publisher string `pb:"2"` // canonical participant id
	Mid       string `pb:"3"` // the publisher's mid
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
	// Forward copies a stream as plain RTP or SRTP to a UDP address until StopForward or the end of the stream. It returns the
	// UDP port of the media plane that takes the receiver's RTCP, 0 if the forwarder names none of the receiver's.
	Forward(ctx context.Context, f Forwarder) (rtcpPort uint16, err error)
	// StopForward ends a forwarder; an unknown id is not an error.
	StopForward(ctx context.Context, id string) error
	// Stats tells what the media plane sees of a peer.
	Stats(ctx context.Context, id PeerID) (PeerStats, error)
	// Keep keeps a snapshot of the session that opened the peer beside it, until the peer is closed, in place of the one
	// kept so far. Of an older version it returns ErrStale; more than [MaxSnapshot] bytes are ErrInvalid.
	Keep(ctx context.Context, id PeerID, version uint64, snapshot []byte) error
	// Kept returns what is kept beside the peers of a session, by the name it had in PeerOptions; nothing is no error.
	Kept(ctx context.Context, session string) ([]Kept, error)
	// Adopt makes the caller the owner of a peer that another opened: it gets the peer's events from now on and its calls
	// are obeyed, while those of the former owner are answered with ErrNoPeer. The epoch fences: one that is below that
	// of the last adoption, or equal to it and another's, is ErrStale.
	Adopt(ctx context.Context, id PeerID, epoch uint64) error
	// Close closes the peer and ends its publications and subscriptions. No event follows.
	Close(ctx context.Context, id PeerID) error
	// Events waits until there are events numbered above after and returns them in order. Of events older than the
	// plane keeps it returns ErrEventsLost together with the number to go on from in the only event.
	Events(ctx context.Context, after uint64) ([]Event, error)
}

// PeerOptions tune a new peer.
type PeerOptions struct {
	// NoMediaTimer is the silence after which a received line is reported as not receiving; 0 means 1 s.
	NoMediaTimer time.Duration `pb:"1"`
	// SlowLinkThreshold is the number of packets lost in a second that makes an [EventSlowLink]; 0 disables it.
	SlowLinkThreshold int `pb:"2"`
	// Label goes into log lines (session and handle), never onto the wire to a client.
	Label string `pb:"3"`
	// Session names the session that the peer belongs to, the same for all its peers: they are put near each other, and
	// [Plane.Kept] finds their snapshots by it. "" names none.
	Session string `pb:"4"`
	// Client is the IP address of the client as signaling sees it, so that a node near it can be chosen; "" when unknown.
	Client string `pb:"5"`
}

// MaxSnapshot bounds a snapshot, bytes.
const MaxSnapshot = 256 << 10

// Kept is what is kept beside a peer.
type Kept struct {
	Peer     PeerID `pb:"1"`
	Version  uint64 `pb:"2"`
	Snapshot []byte `pb:"3"` // of the signaling plane's making
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
	Ufrag        string        `pb:"1"` // ICE credentials (RFC 8445)
	Pwd          string        `pb:"2"` // ICE credentials (RFC 8445)
	Lite         bool          `pb:"3"` // ICE lite
	Fingerprints []Fingerprint `pb:"4"` // of the DTLS certificate
	Setup        Setup         `pb:"5"` // the role this end takes
	Candidates   []Candidate   `pb:"6"`
	Complete     bool          `pb:"7"` // no more candidates follow
}

// Fingerprint is the hash of a DTLS certificate (RFC 8122).
type Fingerprint struct {
	Algorithm string `pb:"1"` // "sha-256", "sha-1", ..., lower case
	Value     string `pb:"2"` // upper-case hex pairs joined by colons
}

// Candidate is an ICE candidate (RFC 8839).
type Candidate struct {
	Foundation string `pb:"1"`
	Component  uint16 `pb:"2"` // 1: RTP and RTCP are always multiplexed
	Protocol   string `pb:"3"` // "udp" or "tcp"
	Priority   uint32 `pb:"4"`
	Address    string `pb:"5"` // IP address, or an mDNS name, which is ignored
	Port       uint16 `pb:"6"`
	Type       string `pb:"7"` // "host", "srflx", "prflx" or "relay"
	TCPType    string `pb:"8"` // "active", "passive" or "so", with tcp only
}

// Session is a whole negotiated session.
type Session struct {
	Version uint64    `pb:"1"` // grows with every negotiation; older ones are refused with ErrStale
	Remote  Transport `pb:"2"` // the client's end
	Setup   Setup     `pb:"3"` // the role the node takes: Active or Passive
	Lines   []Line    `pb:"4"` // in the order of the m-lines
}

// Line is one negotiated m-line.
type Line struct {
	Mid        string      `pb:"1"`
	Kind       Kind        `pb:"2"`
	Direction  Direction   `pb:"3"`
	Codecs     []Codec     `pb:"4"`  // as agreed, the preferred first; RED, when agreed, is an entry of its own
	Extensions []Extension `pb:"5"`  // RTP header extensions as agreed
	Receive    []Encoding  `pb:"6"`  // what the client said it sends, the lowest quality first; may be empty (found by mid and rid)
	SVC        bool        `pb:"7"`  // the client says that it sends spatial layers in one encoding
	SSRC       uint32      `pb:"8"`  // of what the node sends; 0 when it sends nothing
	RTX        uint32      `pb:"9"`  // SSRC of the node's retransmissions (RFC 4588); 0 for none
	SCTPPort   uint16      `pb:"10"` // Data only
	MaxMessage uint32      `pb:"11"` // Data only: largest message the client takes, bytes; 0 means 64 KiB (RFC 8841)
}

// Codec is one payload format of a line.
type Codec struct {
	Name        string `pb:"1"` // lower case: opus, red, multiopus, pcmu, pcma, g722, l16, isac, vp8, vp9, h264, av1, h265
	PayloadType uint8  `pb:"2"`
	ClockRate   uint32 `pb:"3"`
	Channels    uint8  `pb:"4"` // audio only
	Fmtp        string `pb:"5"`
	RTX         uint8  `pb:"6"` // payload type of retransmissions; 0 for none
	NACK        bool   `pb:"7"` // generic NACK agreed (RFC 4585)
	PLI         bool   `pb:"8"`
	FIR         bool   `pb:"9"`
	REMB        bool   `pb:"10"`
	TransportCC bool   `pb:"11"`
}

// Extension is an agreed RTP header extension (RFC 8285).
type Extension struct {
	ID  uint8  `pb:"1"`
	URI string `pb:"2"`
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
	RID      string `pb:"1"` // RFC 8851; empty when SSRCs are announced
	SSRC     uint32 `pb:"2"` // 0 when found by rid
	RTX      uint32 `pb:"3"` // SSRC of its retransmissions, 0 when unknown
	Disabled bool   `pb:"4"` // announced as paused (~rid)
}

// Publication feeds a stream from a received line.
type Publication struct {
	Mid              string        `pb:"1"`
	Stream           StreamID      `pb:"2"`
	Muted            bool          `pb:"3"` // packets are dropped (moderated, or the publisher's own send:false)
	Bitrate          uint32        `pb:"4"` // bits/s asked of the client by REMB for all that it publishes; 0 for no limit
	KeyframeInterval time.Duration `pb:"6"` // ask for a keyframe this often; 0 for never
	Talking          *Talking      `pb:"7"` // report talking and stopped-talking; nil for never
}

// Talking says when a publisher counts as talking.
type Talking struct {
	Packets int   `pb:"1"` // audio packets averaged, at least 1
	Level   uint8 `pb:"2"` // dBov below zero, 0 (loud) to 127; talking when the average is below
}

// Subscription feeds a sent line from a stream. A data line may have several.
type Subscription struct {
	Mid          string        `pb:"1"`
	Stream       StreamID      `pb:"2"`
	Paused       bool          `pb:"3"`
	Substream    int8          `pb:"4"`  // highest simulcast substream wanted, 0 lowest to 2; -1 for the highest
	Temporal     int8          `pb:"5"`  // highest temporal layer of simulcast wanted; -1 for the highest
	SpatialLayer int8          `pb:"6"`  // highest SVC spatial layer wanted; -1 for the highest
	TemporalSVC  int8          `pb:"7"`  // highest SVC temporal layer wanted; -1 for the highest
	Fallback     time.Duration `pb:"8"`  // silence of a substream after which the next lower one is taken; 0 means 250 ms
	PlayoutDelay *PlayoutDelay `pb:"9"`  // written into packets instead of the publisher's; nil passes the publisher's
	Label        string        `pb:"10"` // Data only: label of the channel the messages go to; empty for the one they came on
	TextPrefix   string        `pb:"11"` // Data only: put before text messages
}

// PlayoutDelay bounds how long the receiver may hold a frame, in steps of 10 ms up to 40.95 s.
type PlayoutDelay struct {
	Min time.Duration `pb:"1"`
	Max time.Duration `pb:"2"`
}

// Forwarder copies a stream to a UDP address (janus "rtp_forward").
type Forwarder struct {
	ID          string   `pb:"1"` // chosen by the caller, unique
	Stream      StreamID `pb:"2"`
	Address     string   `pb:"3"` // host:port, the host an IP address
	PayloadType uint8    `pb:"4"` // 0 keeps the publisher's
	SSRC        uint32   `pb:"5"` // 0 keeps the publisher's
	Substream   int8     `pb:"6"` // the only simulcast substream forwarded; -1 follows the best one
	SRTPSuite   int      `pb:"7"` // 32 or 80 (AES_CM_128_HMAC_SHA1_n, RFC 4568); 0 for plain RTP
	SRTPKey     []byte   `pb:"8"` // master key and salt, 30 bytes
	RTCPPort    uint16   `pb:"9"` // the receiver's port for RTCP: PLI and FIR from its host ask for keyframes; 0 takes none
}
