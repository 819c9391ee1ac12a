package plane

import "time"

// Quality is what the node reckons that a client's user saw, heard and waited for since the report before. How each figure
// comes about is said in cardea/relay/quality.
type Quality struct {
	Span         time.Duration `pb:"1"` // since the report before, or since the peer was opened
	Connect      time.Duration `pb:"2"` // from the first session description to ICE and DTLS done; in the first report only
	Path         ICEPath       `pb:"3"`
	RTT          time.Duration `pb:"4"` // smoothed, 0 until known
	ReceivedRate uint32        `pb:"5"` // bits/s in the last second
	SentRate     uint32        `pb:"6"` // bits/s in the last second
	Lines        []LineQuality `pb:"7"`
}

// ICEPath says how a client reached the node.
type ICEPath struct {
	Network  string `pb:"1"` // "ipv4" or "ipv6", of the client's end as the node sees it; "" without a path
	Kind     string `pb:"2"` // type of the client's candidate: "host", "srflx", "prflx" or "relay"; "" when it named none
	Protocol string `pb:"3"` // "udp" or "tcp", at the node; "" without a path
}

// LineQuality is the same for one direction of one line. Of sound only what is said of packets is known, and MOS; of
// pictures all but that.
type LineQuality struct {
	Mid        string        `pb:"1"`
	Kind       Kind          `pb:"2"`
	Sending    bool          `pb:"3"` // the node sends: the figures are of a subscriber; else of a publisher
	Codec      string        `pb:"4"` // lower case
	Stream     StreamID      `pb:"5"`
	FirstFrame time.Duration `pb:"6"`  // from subscribe (or publish) to the first whole picture; 0 when it came before, or has not yet
	Watched    time.Duration `pb:"7"`  // time with a picture on display, frozen or not
	Frozen     time.Duration `pb:"8"`  // of that, the time that the picture stood still
	Stalls     int           `pb:"9"`  // times that it did, by their ends
	Frames     int           `pb:"10"` // pictures on display
	Packets    int           `pb:"11"` // that should have come
	Loss       float64       `pb:"12"` // share of those that did not, at first, 0 to 1
	Jitter     time.Duration `pb:"13"` // RFC 3550 section 6.4.1
	MOS        float64       `pb:"14"` // 1 to 4.5, of sound; 0 when too little was heard to tell
}
