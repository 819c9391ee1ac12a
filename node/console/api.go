package console

import (
	"time"

	"cardea/relay/plane"
)

// Status is the node's state.
type Status struct {
	Node       string     `json:"node"`
	Region     string     `json:"region,omitempty"`
	Version    string     `json:"version"`
	Started    time.Time  `json:"started"`
	Ready      bool       `json:"ready"`
	Reason     string     `json:"reason,omitempty"` // why it is not ready
	Load       Load       `json:"load"`
	Memory     Memory     `json:"memory"`
	Goroutines int        `json:"goroutines"`
	Sessions   int        `json:"sessions"`
	Handles    int        `json:"handles"`
	Peers      int        `json:"peers"`     // clients' media transports, those that are connecting included
	Connected  int        `json:"connected"` // of them, those whose ICE and DTLS are done
	Streams    int        `json:"streams"`
	Rooms      int        `json:"rooms"`
	Nodes      int        `json:"nodes"`             // of the mesh, this one included
	Draining   int        `json:"draining"`          // nodes among them that take no new clients
	Links      int        `json:"links"`             // to other nodes, from this one
	Leaving    *Leaving   `json:"leaving,omitempty"` // nil: it does not drain
	Listeners  []Listener `json:"listeners"`
}

// Load is how busy the node is.
type Load struct {
	CPU       float64 `json:"cpu"`        // share of the processor time it may use, 0 to 1
	LatencyMS float64 `json:"latency_ms"` // how late runnable work starts, 99th percentile
	Share     float64 `json:"share"`      // of the load at which new sessions are refused, 0 to 1
	Refusing  string  `json:"refusing,omitempty"`
}

// Memory is what the process holds, in bytes.
type Memory struct {
	Heap  uint64 `json:"heap"`  // live objects and garbage not collected yet
	Total uint64 `json:"total"` // all that was asked of the system
	Limit uint64 `json:"limit"` // what it is kept below; 0 for none
}

// Listener is one open port.
type Listener struct {
	Option  string `json:"option"` // of the configuration: "janus.ws_port"
	Network string `json:"network"`
	Address string `json:"address"`
	TLS     bool   `json:"tls,omitempty"`
}

// Rooms is the list of rooms.
type Rooms struct {
	Rooms []Room `json:"rooms"`
}

// Room is one room as operators see it; secrets and pins are not in it.
type Room struct {
	Plugin        string `json:"plugin"`
	Room          string `json:"room"`
	Description   string `json:"description"`
	CommunityID   string `json:"community_id,omitempty"`
	Private       bool   `json:"private,omitempty"`
	Participants  int    `json:"participants"` // on all nodes
	MaxPublishers int    `json:"max_publishers"`
	Here          bool   `json:"here"`              // somebody on this node has to do with it
	Publishers    int    `json:"publishers"`        // on all nodes
	Subscribers   int    `json:"subscribers"`       // handles that subscribe to its streams, on all nodes
	Partial       bool   `json:"partial,omitempty"` // not all nodes have told of these two: there may be more
	Keeper        string `json:"keeper,omitempty"`  // id of the node where it is known who is in the room
}

// Page is what the page must know to make a call.
type Page struct {
	Version   string `json:"version"`
	WSPort    uint16 `json:"ws_port"` // 0: not open
	WSSPort   uint16 `json:"wss_port"`
	HTTPPort  uint16 `json:"http_port"`
	HTTPSPort uint16 `json:"https_port"`
	StringIDs bool   `json:"string_ids"` // ids of rooms are strings
	AdminKey  bool   `json:"admin_key"`  // rooms can be made only with a key
	APISecret bool   `json:"api_secret"` // requests need a secret

	// Hosts are those of the nodes to which the page may move, this one first.
	Hosts func() []string `json:"-"`

	// ICEServers is how a browser that cannot reach the node directly may relay to it, and to nothing else. Filled in for
	// each request; nil without TURN, and for who asks too often.
	ICEServers []ICEServer `json:"ice_servers,omitempty"`
}

// Peer is what the media plane sees of one client.
type Peer struct {
	State        string  `json:"state"`
	DTLSState    string  `json:"dtls_state"`
	Protocol     string  `json:"protocol,omitempty"`
	Remote       string  `json:"remote,omitempty"`
	Local        string  `json:"local,omitempty"`
	SRTPProfile  string  `json:"srtp_profile,omitempty"`
	RTTMS        float64 `json:"rtt_ms"`
	Estimate     uint32  `json:"estimate"` // bits/s the client can take, 0 until known
	ReceivedRate uint32  `json:"received_rate"`
	SentRate     uint32  `json:"sent_rate"`
	Lines        []Line  `json:"lines"`
}

// Line is one direction of one media line; directions are the node's.
type Line struct {
	Mid       string  `json:"mid"`
	Kind      string  `json:"kind"`
	Direction string  `json:"direction"` // "send" or "receive"
	Codec     string  `json:"codec"`
	Room      string  `json:"room,omitempty"`      // of the stream
	Publisher string  `json:"publisher,omitempty"` // of the stream
	Layers    []Layer `json:"layers"`
	Width     int     `json:"width,omitempty"`
	Height    int     `json:"height,omitempty"`
	Packets   uint64  `json:"packets"`
	Bytes     uint64  `json:"bytes"`
	Lost      uint64  `json:"lost"`
	NACKs     uint64  `json:"nacks"`
	Repaired  uint64  `json:"repaired"`
	PLIs      uint64  `json:"plis"`
	Keyframes uint64  `json:"keyframes"`
	JitterMS  float64 `json:"jitter_ms"`
	Talking   bool    `json:"talking,omitempty"`
	// Of pictures that the node sends: what the client is reckoned to have seen since it subscribed.
	FirstFrameMS float64 `json:"first_frame_ms,omitempty"` // from subscribe to the first picture
	WatchedMS    float64 `json:"watched_ms,omitempty"`
	FrozenMS     float64 `json:"frozen_ms,omitempty"` // of that, the time that the picture stood still
	Stalls       int     `json:"stalls,omitempty"`    // times that it did
}

// Layer is what flows of one simulcast or SVC quality; -1 stands for not known.
type Layer struct {
	Substream int8    `json:"substream"`
	Spatial   int8    `json:"spatial"`
	Temporal  int8    `json:"temporal"`
	RID       string  `json:"rid,omitempty"`
	Bitrate   uint32  `json:"bitrate"` // bits/s
	Rate      float64 `json:"rate"`    // frames/s
}

// PeerOf turns the media plane's figures into those of the API.
func PeerOf(s plane.PeerStats) Peer {
	p := Peer{
		State: s.State, DTLSState: s.DTLSState, Protocol: s.Protocol, Remote: s.Remote, Local: s.Local,
		SRTPProfile: s.SRTPProfile, RTTMS: milliseconds(s.RTT), Estimate: s.Estimate,
		ReceivedRate: s.ReceivedRate, SentRate: s.SentRate, Lines: make([]Line, 0, len(s.Lines)),
	}
	for _, l := range s.Lines {
		line := Line{
			Mid: l.Mid, Kind: l.Kind.String(), Direction: "receive", Codec: l.Codec,
			Room: l.Stream.Room, Publisher: l.Stream.Publisher, Layers: make([]Layer, 0, len(l.Layers)),
			Width: l.Width, Height: l.Height, Packets: l.Packets, Bytes: l.Bytes, Lost: l.Lost, NACKs: l.NACKs,
			Repaired: l.Repaired, PLIs: l.PLIs, Keyframes: l.Keyframes, JitterMS: milliseconds(l.Jitter), Talking: l.Talking,
			FirstFrameMS: milliseconds(l.FirstFrame), WatchedMS: milliseconds(l.Watched), FrozenMS: milliseconds(l.Frozen), Stalls: l.Stalls,
		}
		if l.Sending {
			line.Direction = "send"
		}
		for _, q := range l.Layers {
			line.Layers = append(line.Layers, Layer{q.Substream, q.Spatial, q.Temporal, q.RID, q.Bitrate, q.Rate})
		}
		p.Lines = append(p.Lines, line)
	}
	return p
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
