package peer

import (
	"slices"

	"cardea/relay/plane"
	"cardea/relay/stream"
)

// applyPublications makes, keeps or ends the streams of the received lines as the session and the publications say.
func (p *Peer) applyPublications() {
	for _, l := range p.lines {
		i := slices.IndexFunc(p.pubs, func(b plane.Publication) bool { return b.Mid == l.Mid })
		if i < 0 || !l.Direction.Receives() {
			p.withdraw(l)
			continue
		}
		was := l.pub
		l.pub = p.pubs[i]
		if l.Kind == plane.Data {
			p.publishChannel(l, was.Stream)
			continue
		}
		if len(l.Codecs) == 0 {
			p.withdraw(l)
			continue
		}
		if l.stream != nil && (was.Stream != l.pub.Stream || l.moved || !sameSource(l.stream.Config(), l)) {
			p.env.Streams.Withdraw(was.Stream, l.stream)
			l.stream.Close()
			l.stream = nil
		}
		if l.moved = false; l.stream == nil {
			l.stream, l.publishedAt = p.newStream(l), p.env.Clock.Now()
			l.anew()
			p.env.Streams.Publish(l.pub.Stream, l.stream)
		}
		l.stream.SetMuted(l.pub.Muted)
		p.attune(l, was.Talking)
	}
}

// newStream makes the stream of a received line.
func (p *Peer) newStream(l *line) *stream.Stream {
	// Both are called with the stream locked, by whoever needs a picture, or a layer that the client was asked not to send; the
	// ticker asks.
	ask := func() {
		p.keyframes.Store(true)
		p.hurry()
	}
	cfg := stream.Config{
		ID: l.pub.Stream, Kind: l.Kind, Codecs: l.Codecs, Extensions: l.Extensions,
		Layers: layersOf(l), SVC: l.SVC, RequestKeyframe: func(int) { ask() }, Fault: p.env.SinkFault,
	}
	if cfg.Layers > 1 {
		cfg.Audience = ask
	}
	return stream.New(cfg)
}

func layersOf(l *line) int { return min(max(len(l.Receive), 1), maxLayers) }

// sameSource tells whether a stream can go on after a renegotiation of its line.
func sameSource(c stream.Config, l *line) bool {
	return c.Layers == layersOf(l) && c.SVC == l.SVC && slices.Equal(c.Codecs, l.Codecs) && slices.Equal(c.Extensions, l.Extensions)
}

// withdraw ends what a line feeds.
func (p *Peer) withdraw(l *line) {
	if l.stream != nil {
		p.env.Streams.Withdraw(l.pub.Stream, l.stream)
		l.stream.Close()
		l.stream = nil
	}
	if l.channel != nil {
		p.env.Channels.Withdraw(l.pub.Stream, l.channel)
		p.channels.published.CompareAndSwap(l.channel, nil)
		l.channel = nil
	}
	l.pub = plane.Publication{}
	l.talking = talking{}
}

// wantKeyframe remembers that a source is to be asked for a keyframe.
func (p *Peer) wantKeyframe(src *source) {
	src.wantsKey = true
	p.keyframes.Store(true)
	p.hurry()
}

// talking averages a publisher's audio level over a number of packets.
type talking struct {
	sum, packets int
	on           bool
}

// silent is the level of a line that is not heard: the lowest of RFC 6464.
const silent = 127

// attune makes talking be judged as the publication says now. Who was talking and is not listened to any more has stopped.
func (p *Peer) attune(l *line, was *plane.Talking) {
	t, now := &l.talking, l.pub.Talking
	if now == nil || was == nil || *was != *now {
		t.sum, t.packets = 0, 0
	}
	if now == nil || l.pub.Muted {
		p.talks(l, false, silent)
		t.sum, t.packets = 0, 0
	}
}

// hear takes the audio level of one packet, dBov below zero (RFC 6464).
func (p *Peer) hear(l *line, level uint8) {
	t := &l.talking
	t.sum += int(level)
	t.packets++
	if t.packets < max(l.pub.Talking.Packets, 1) {
		return
	}
	average := float64(t.sum) / float64(t.packets)
	t.sum, t.packets = 0, 0
	p.talks(l, average < float64(l.pub.Talking.Level), average)
}

// talks reports a change.
func (p *Peer) talks(l *line, on bool, level float64) {
	if on == l.talking.on {
		return
	}
	l.talking.on = on
	p.env.Emit(plane.Event{Peer: p.id, Type: plane.EventTalking, Mid: l.Mid, Kind: l.Kind, Talking: on, Level: level})
}
