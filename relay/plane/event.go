package plane

import "time"

// EventType says what an [Event] reports.
type EventType uint8

// The events of the media plane and the fields of [Event] each fills besides Number, Peer and Type.
const (
	// EventUp: ICE and DTLS are done, media flows.
	EventUp EventType = iota + 1
	// EventDown: the peer is gone and must be closed; Reason is Janus's sentence ("DTLS alert", "ICE failed", ...).
	EventDown
	// EventICEFailed: ICE failed after having been connected; EventDown follows unless it recovers.
	EventICEFailed
	// EventReceiving: media of a received line started or stopped; Mid, Kind, Substream (-1 without simulcast), Receiving, Silence.
	EventReceiving
	// EventSlowLink: packets were lost in the last second; Mid, Kind, Uplink, Lost.
	EventSlowLink
	// EventLayers: what a subscriber is sent changed; Mid and those of Substream, Temporal, SpatialLayer, TemporalSVC that changed (others -1).
	EventLayers
	// EventTalking: a publisher began or stopped talking; Mid, Talking, Level.
	EventTalking
)

// Event reports something that happened to a peer.
type Event struct {
	Number       uint64 // grows by one with every event of this plane
	Peer         PeerID
	Type         EventType
	Mid          string
	Kind         Kind
	Reason       string
	Receiving    bool
	Silence      time.Duration // how long nothing came, when Receiving is false
	Uplink       bool          // true: packets the node sent were lost; false: packets from the client were
	Lost         int
	Substream    int8
	Temporal     int8
	SpatialLayer int8
	TemporalSVC  int8
	Talking      bool
	Level        float64 // average audio level, dBov below zero
}

// PeerStats is what the media plane sees of a peer. Counters run from the peer's start.
type PeerStats struct {
	State        string // "new", "checking", "connected", "disconnected", "closed"
	DTLSState    string // "new", "connecting", "connected", "failed"
	Protocol     string // "udp" or "tcp", once a pair is selected
	Local        string // selected pair, address:port
	Remote       string
	SRTPProfile  string
	RTT          time.Duration // smoothed, 0 until known
	Estimate     uint32        // bits/s the client can take, 0 until known
	ReceivedRate uint32        // bits/s now
	SentRate     uint32        // bits/s now
	Lines        []LineStats
}

// LineStats is what the media plane sees of one direction of one line.
type LineStats struct {
	Mid       string
	Kind      Kind
	Sending   bool // the node sends
	Codec     string
	Stream    StreamID
	Layers    []LayerStats // of a received line: one a simulcast encoding; of a sent line: the one that flows
	Width     int          // of the last keyframe, 0 when unknown
	Height    int
	Packets   uint64
	Bytes     uint64
	Lost      uint64        // packets that never came, or that the client reported lost
	NACKs     uint64        // received (sending) or sent (receiving), packets asked for
	Repaired  uint64        // retransmissions sent or received
	PLIs      uint64        // keyframe requests received (sending) or sent (receiving)
	Jitter    time.Duration // as the receiver of the line measures it
	Keyframes uint64
	Talking   bool
}

// LayerStats is what flows of one layer.
type LayerStats struct {
	Substream int8 // -1 without simulcast
	Spatial   int8 // -1 when not known
	Temporal  int8
	RID       string
	SSRC      uint32
	Bitrate   uint32  // bits/s now
	Rate      float64 // frames/s now
}
