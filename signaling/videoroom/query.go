package videoroom

import "cardea/relay/plane"

// publishedInfo is what handle_info tells of a publisher's stream.
type publishedInfo struct {
	Type         string     `json:"type"`
	MIndex       int        `json:"mindex"`
	Mid          string     `json:"mid"`
	Description  *string    `json:"description,omitempty"`
	Codec        string     `json:"codec,omitempty"`
	H264Profile  string     `json:"h264-profile,omitempty"`
	VP9Profile   string     `json:"vp9-profile,omitempty"`
	PlayoutDelay *delayInfo `json:"playout-delay,omitempty"`
	Simulcast    bool       `json:"simulcast,omitempty"`
	SVC          bool       `json:"vp9-svc,omitempty"`
	Talking      *bool      `json:"talking,omitempty"`
	Subscribers  int        `json:"subscribers"`
}

// Query returns what the admin API's handle_info shows of the handle.
func (s *session) Query() any {
	info := object{"hangingup": 0, "destroyed": 0}
	if p := s.publisher.Load(); p != nil {
		p.query(info)
	} else if sub := s.subscriber.Load(); sub != nil {
		sub.query(info)
	}
	return info
}

func (p *participant) query(info object) {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	info["type"] = "publisher"
	if !p.present {
		return
	}
	info["room"], info["id"], info["private_id"], info["bitrate"] = p.room.id, p.id, p.privateID, p.limit()
	if p.display != nil {
		info["display"] = *p.display
	}
	if p.e2ee {
		info["e2ee"] = true
	}
	streams := make([]publishedInfo, 0, len(p.streams))
	for _, st := range p.streams {
		streams = append(streams, st.query())
	}
	info["streams"] = streams
}

func (st *stream) query() publishedInfo {
	i := publishedInfo{
		Type: st.kind.String(), MIndex: st.mindex, Mid: st.mid, Description: st.description, Codec: st.codec,
		H264Profile: st.h264, VP9Profile: st.vp9, Simulcast: st.simulcast, SVC: st.svc, Subscribers: len(st.lines),
	}
	if st.minDelay >= 0 && st.maxDelay >= 0 {
		i.PlayoutDelay = &delayInfo{Min: st.minDelay, Max: st.maxDelay}
	}
	if st.kind == plane.Audio && st.audioLevel {
		talking := st.talking
		i.Talking = &talking
	}
	return i
}

func (s *subscriber) query(info object) {
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	info["type"] = "subscriber"
	info["room"], info["private_id"], info["answered"], info["pending_offer"] = s.room.id, s.privateID, s.answered, s.pending
	info["pending_restart"], info["paused"], info["streams"] = s.restart, s.paused, s.summary()
	if s.e2ee {
		info["e2ee"] = true
	}
}
