package stream

// Behind tells whether the track lags behind the live stream: Catchup has to be called until it does not.
func (t *Track) Behind() bool { return t.behind && t.stream != nil && !t.paused }

// Hold makes the track lag: live packets wait in the cache, from the next one on, until Catchup sends them.
func (t *Track) Hold() {
	if t.stream == nil || t.layer < 0 || t.behind || !t.numbers.anchored {
		return
	}
	t.behind, t.cursor = true, t.numbers.highest+1
}

// Catchup calls emit, in order, for packets that a lagging track is to be sent, until about budget bytes are on their way
// or the track is live again, and returns the bytes. Within emit AppendRTP must be called for the packet.
func (t *Track) Catchup(budget int, now int64, emit func(p *Packet)) int {
	bytes := 0
	for bytes < budget && t.Behind() {
		p := t.following(now)
		if p == nil {
			break
		}
		if t.pass(p, now) == Drop {
			continue
		}
		bytes += t.Size(p)
		emit(p)
	}
	return bytes
}

// following returns the next packet to send and moves the cursor behind it; nil when the track is live, or has to wait.
func (t *Track) following(now int64) *Packet {
	if want := t.desired(now); want != t.layer && now >= t.review {
		t.seek(want, now)
	}
	l := &t.stream.layers[t.layer]
	for t.cursor <= l.ring.highest {
		p := l.ring.get(t.cursor)
		switch {
		case p != nil && t.outdated(l, p, now):
			t.replay(t.layer, l.keySeq)
		case p != nil:
			t.cursor++
			return p
		case l.ring.expired(t.cursor):
			t.lost(now)
			return nil
		default: // it never came; if it still does, Select gives it the number that is kept for it
			t.cursor++
		}
	}
	t.behind = false
	return nil
}

// outdated tells whether a packet at the cursor is so old that it is better to begin again at a newer keyframe.
func (t *Track) outdated(l *layer, p *Packet, now int64) bool {
	return t.keyed && l.keySeq > p.Seq && now-p.Arrival > lagTime && l.replayable(now, keptTime)
}

// lost begins anew after the cache has overtaken the track.
func (t *Track) lost(now int64) {
	t.layer, t.behind = -1, false
	t.numbers.restart()
	t.begin(now)
}
