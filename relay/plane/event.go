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
	// EventQuality: what the client's user saw and heard since the last such event; Quality.
	EventQuality
	// EventPath: ICE has found a path to the client, or moved to another; Local, Remote, Protocol.
	EventPath
	// EventDTLS: the handshake changed its state; State ("trying", "connected" or "failed").
	EventDTLS
)

// Event reports something that happened to a peer.
type Event struct {
	Number       uint64        `pb:"1"` // grows by one with every event of this plane
	Peer         PeerID        `pb:"2"`
	Type         EventType     `pb:"3"`
	Mid          string        `pb:"4"`
	Kind         Kind          `pb:"5"`
	Reason       string        `pb:"6"`
	Receiving    bool          `pb:"7"`
	Silence      time.Duration `pb:"8"` // how long nothing came, when Receiving is false
	Uplink       bool          `pb:"9"` // true: packets the node sent were lost; false: packets from the client were
	Lost         int           `pb:"10"`
	Substream    int8          `pb:"11"`
	Temporal     int8          `pb:"12"`
	SpatialLayer int8          `pb:"13"`
	TemporalSVC  int8          `pb:"14"`
	Talking      bool          `pb:"15"`
	Level        float64       `pb:"16"` // average audio level, dBov below zero
	Quality      *Quality      `pb:"17"`
	State        string        `pb:"18"`
	Local        string        `pb:"19"` // address:port of the node's end of the path
	Remote       string        `pb:"20"` // and of the client's
	Protocol     string        `pb:"21"` // "udp" or "tcp"
}

// PeerStats is what the media plane sees of a peer. Counters run from the peer's start.
type PeerStats struct {
	State        string        `pb:"1"` // "new", "checking", "connected", "disconnected", "closed"
	DTLSState    string        `pb:"2"` // "new", "connecting", "connected", "failed"
	Protocol     string        `pb:"3"` // "udp" or "tcp", once a pair is selected
	Local        string        `pb:"4"` // selected pair, address:port
	Remote       string        `pb:"5"`
	SRTPProfile  string        `pb:"6"`
	RTT          time.Duration `pb:"7"`  // smoothed, 0 until known
	Estimate     uint32        `pb:"8"`  // bits/s the client can take, 0 until known
	ReceivedRate uint32        `pb:"9"`  // bits/s now
	SentRate     uint32        `pb:"10"` // bits/s now
	Lines        []LineStats   `pb:"11"`
}

// LineStats is what the media plane sees of one direction of one line.
type LineStats struct {
	Mid       string        `pb:"1"`
	Kind      Kind          `pb:"2"`
	Sending   bool          `pb:"3"` // the node sends
	Codec     string        `pb:"4"`
	Stream    StreamID      `pb:"5"`
	Layers    []LayerStats  `pb:"6"` // of a received line: one a simulcast encoding; of a sent line: the one that flows
	Width     int           `pb:"7"` // of the last keyframe, 0 when unknown
	Height    int           `pb:"8"`
	Packets   uint64        `pb:"9"`
	Bytes     uint64        `pb:"10"`
	Lost      uint64        `pb:"11"` // packets that never came, or that the client reported lost
	NACKs     uint64        `pb:"12"` // received (sending) or sent (receiving), packets asked for
	Repaired  uint64        `pb:"13"` // retransmissions sent or received
	PLIs      uint64        `pb:"14"` // keyframe requests received (sending) or sent (receiving)
	Jitter    time.Duration `pb:"15"` // as the receiver of the line measures it
	Keyframes uint64        `pb:"16"`
	Talking   bool          `pb:"17"`
	// Of what the node sends: what the client is reckoned to have seen since it subscribed. See LineQuality.
	FirstFrame time.Duration `pb:"18"`
	Watched    time.Duration `pb:"19"`
	Frozen     time.Duration `pb:"20"`
	Stalls     int           `pb:"21"`
}

// LayerStats is what flows of one layer.
type LayerStats struct {
	Substream int8    `pb:"1"` // -1 without simulcast
	Spatial   int8    `pb:"2"` // -1 when not known
	Temporal  int8    `pb:"3"`
	RID       string  `pb:"4"`
	SSRC      uint32  `pb:"5"`
	Bitrate   uint32  `pb:"6"` // bits/s now
	Rate      float64 `pb:"7"` // frames/s now
	Packets   uint64  `pb:"8"` // received of it, of what is counted in its line
	Bytes     uint64  `pb:"9"`
}
