package videoroom

import "cardea/relay/plane"

// talk tells everybody in the room, the talker too, that it began or stopped.
func (p *participant) talk(e plane.Event) {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	st := p.stream(e.Mid)
	if st == nil || st.talking == e.Talking {
		return
	}
	st.talking, st.level = e.Talking, float64(e.Level)
	st.announceTalking()
	p.report()
}

// announceTalking tells everybody whether the stream's publisher talks, if the room wants that.
func (st *stream) announceTalking() {
	p := st.owner
	r := p.room
	if !p.present || !r.cfg.AudioLevelEvent {
		return
	}
	what := "stopped-talking"
	if st.talking {
		what = "talking"
	}
	st.tellTalking(what)
	r.broadcast(object{
		"videoroom": what, "room": r.id, "id": p.id, "mindex": st.mindex, "mid": st.mid,
		"audio-level-dBov-avg": real(st.level),
	}, nil)
}
