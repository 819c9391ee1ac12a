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
	st.talking = e.Talking
	if !p.present || !r.cfg.AudioLevelEvent {
		return
	}
	what := "stopped-talking"
	if e.Talking {
		what = "talking"
	}
	r.broadcast(object{
		"videoroom": what, "room": r.id, "id": p.id, "mindex": st.mindex, "mid": st.mid,
		"audio-level-dBov-avg": real(e.Level),
	}, nil)
}
