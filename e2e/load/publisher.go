package load

import (
	"encoding/json"
	"math/rand/v2"
	"time"

	"cardea/e2e/load/internal/rtc"
	"cardea/e2e/load/internal/synth"
	"cardea/relay/rtcp"
	"cardea/relay/rtp"
)

const (
	// mtu is the largest RTP packet sent, libwebrtc's.
	mtu = 1200
	// overhead is what header and extensions take of it.
	overhead = 12 + 4 + 12
	// keyframeRatio and keyframeSpacing: a keyframe is several times a delta frame, and requests are answered so often.
	keyframeRatio   = 5
	keyframeSpacing = 300 * time.Millisecond
	// reportInterval is how often senders and receivers report.
	reportInterval = time.Second
	// maxRetransmissions bounds what one compound packet's NACKs may ask for.
	maxRetransmissions = 128
	// frameBacklog is how many frames may wait for the pacer; a browser's encoder would drop frames then.
	frameBacklog = 60
)

// streamsPerPublisher numbers a publisher's streams: 0 is audio, 1 to 3 are the video's layers.
const streamsPerPublisher = 4

// layers are the simulcast encodings, best first, with their share of the bitrate.
var layers = []struct {
	rid           string
	share         float64
	width, height uint16
}{
	{"h", 1, 1280, 720},
	{"m", 0.28, 640, 360},
	{"l", 0.08, 320, 180},
}

// offered counts what was sent of a stream in the measured interval.
type offered struct{ packets, bytes uint64 }

// publisher sends the media of one client. Its methods are the loop's.
type publisher struct {
	cfg       *Config
	measured  *interval
	transport *rtc.Transport
	run       uint32
	first     uint32          // its first stream
	feed      json.RawMessage // its id in the room, once joined
	extension map[rtc.Kind]map[string]uint8
	mid       map[rtc.Kind]string

	audio       *synth.Audio
	audioOut    *outgoing
	video       []*encoding
	pacer       *synth.Pacer
	waiting     []waitingFrame
	transport16 uint16 // transport-wide sequence number
	report      int64  // when the next sender reports are due
	buffer      []byte

	offered  [streamsPerPublisher]offered
	requests requests
	answered int // retransmissions
	asked    int // packets that NACKs named
}

// requests counts keyframe requests.
type requests struct {
	count   int
	closest time.Duration // shortest time between two for one layer; 0: not two
}

// encoding is one layer of the video.
type encoding struct {
	video   *synth.Video
	rid     string
	media   *outgoing
	repair  *outgoing
	lastAsk int64
	history [512]sent
}

// sent is a packet kept for retransmission, unencrypted.
type sent struct {
	seq       uint16
	index     uint64
	headerLen int
	packet    []byte
}

type waitingFrame struct {
	encoding *encoding
	frame    synth.Frame
	next     int // packet
}

// newPublisher makes the publisher with the given number among all.
func newPublisher(cfg *Config, measured *interval, run uint32, number int) *publisher {
	p := &publisher{
		cfg: cfg, measured: measured, run: run, first: uint32(number * streamsPerPublisher),
		audioOut: newOutgoing(rtc.OpusType), buffer: make([]byte, 0, 2*mtu), // SRTP's tag goes behind a packet
	}
	n := 1
	if cfg.Simulcast {
		n = len(layers)
	}
	for _, l := range layers[:n] {
		e := &encoding{media: newOutgoing(rtc.VP8Type), repair: newOutgoing(rtc.RTXType)}
		if cfg.Simulcast {
			e.rid = l.rid
		}
		p.video = append(p.video, e)
	}
	return p
}

// offer says what to put into the session description.
func (p *publisher) offer() rtc.PublisherOffer {
	o := rtc.PublisherOffer{AudioSSRC: p.audioOut.ssrc, VideoSSRC: p.video[0].media.ssrc, RTXSSRC: p.video[0].repair.ssrc}
	if p.cfg.Simulcast {
		for _, e := range p.video {
			o.RIDs = append(o.RIDs, e.rid)
		}
	}
	return o
}

// accept notes what the server took of the offer. Before Connected.
func (p *publisher) accept(answer *rtc.Description) {
	p.extension, p.mid = map[rtc.Kind]map[string]uint8{}, map[rtc.Kind]string{}
	for _, m := range answer.Media {
		p.extension[rtc.Kind(m.Kind)] = m.Extensions
		p.mid[rtc.Kind(m.Kind)] = m.Mid
	}
}

// Connected implements rtc.Handler: the camera and the microphone begin.
func (p *publisher) Connected(now int64) {
	seed := rand.Uint64()
	// Clients are not in step with one another.
	start := now + int64(seed%uint64(time.Second/time.Duration(p.cfg.FPS)))
	p.audioOut.sender = p.transport.NewSender(p.audioOut.ssrc)
	p.audio = synth.NewAudio(start, seed)
	total := 0
	for i, e := range p.video {
		l := layers[i]
		rate := int(float64(p.cfg.Bitrate) * l.share)
		total += rate
		e.media.sender, e.repair.sender = p.transport.NewSender(e.media.ssrc), p.transport.NewSender(e.repair.ssrc)
		e.video = synth.NewVideo(synth.VideoConfig{
			Bitrate: rate, FPS: p.cfg.FPS, KeyframeRatio: keyframeRatio,
			KeyframeInterval: p.cfg.KeyframeInterval, KeyframeSpacing: keyframeSpacing,
			Width: l.width, Height: l.height, MaxPayload: mtu - overhead, Overhead: overhead,
		}, start, seed+uint64(i))
	}
	p.pacer = synth.NewPacer(total)
	p.report = now + int64(reportInterval)
}

// Tick implements rtc.Handler.
func (p *publisher) Tick(now int64) (next int64) {
	for now >= p.audio.Due() {
		p.sendAudio()
	}
	for _, e := range p.video {
		for now >= e.video.Due() {
			f := e.video.Next()
			if len(p.waiting) < frameBacklog {
				p.waiting = append(p.waiting, waitingFrame{encoding: e, frame: f})
			}
		}
	}
	if len(p.waiting) > 0 && p.pacer.Begin(now) {
		p.burst()
	}
	if now >= p.report {
		p.sendReports(now)
		p.report += int64(reportInterval)
	}
	if len(p.waiting) > 0 {
		return now
	}
	return min(p.audio.Due(), p.video[0].video.Due(), p.report)
}

// burst sends what the pacer lets go.
func (p *publisher) burst() {
	done := 0
	for done < len(p.waiting) {
		w := &p.waiting[done]
		for w.next < w.frame.Packets && p.pacer.Take(w.frame.Size(w.next)+overhead) {
			p.sendVideo(w)
			w.next++
		}
		if w.next < w.frame.Packets {
			break
		}
		done++
	}
	p.waiting = p.waiting[:copy(p.waiting, p.waiting[done:])]
}

func (p *publisher) sendVideo(w *waitingFrame) {
	e, o := w.encoding, w.encoding.media
	now := rtc.Now()
	o.header.Marker = w.next == w.frame.Packets-1
	o.header.Timestamp = w.frame.Timestamp
	packet := p.begin(o, rtc.Video, now, rtc.RIDURI, e.rid, nil)
	headerLen := len(packet)
	stream := p.first + 1 + uint32(p.layer(e))
	packet = w.frame.AppendPayload(packet, w.next, synth.Mark{Run: p.run, Stream: stream, Counter: o.packets, Sent: now})
	kept := &e.history[o.header.SequenceNumber%uint16(len(e.history))]
	kept.seq, kept.index, kept.headerLen = o.header.SequenceNumber, o.index, headerLen
	kept.packet = append(kept.packet[:0], packet...)
	p.finish(o, packet, headerLen, now, stream)
}

func (p *publisher) layer(e *encoding) int {
	for i := range p.video {
		if p.video[i] == e {
			return i
		}
	}
	return 0
}

func (p *publisher) sendAudio() {
	o := p.audioOut
	now := rtc.Now()
	timestamp, level := p.audio.Next()
	o.header.Timestamp = timestamp
	packet := p.begin(o, rtc.Audio, now, rtc.AudioLevelURI, "", []byte{level})
	headerLen := len(packet)
	packet = synth.AppendOpus(packet, synth.Mark{Run: p.run, Stream: p.first, Counter: o.packets, Sent: now})
	p.finish(o, packet, headerLen, now, p.first)
}

// begin writes the header of the next packet of o. Of the extension with the given URI the value is text or value; the mid
// goes along with a text, without SSRCs in the session description being what servers tell streams by.
func (p *publisher) begin(o *outgoing, kind rtc.Kind, now int64, uri, text string, value []byte) []byte {
	ids := p.extension[kind]
	packet := rtp.AppendHeader(p.buffer[:0], &o.header)
	w := rtp.NewExtWriter(packet)
	if text != "" {
		w.Add(ids[rtc.MidURI], []byte(p.mid[kind]))
		w.Add(ids[uri], []byte(text))
	} else if value != nil {
		w.Add(ids[uri], value)
	}
	abs := uint32(uint64(now) << 18 / uint64(time.Second)) // 6.18 bits of seconds
	w.Add(ids[rtc.AbsSendTimeURI], []byte{byte(abs >> 16), byte(abs >> 8), byte(abs)})
	if id := ids[rtc.TransportCCURI]; id != 0 {
		w.Add(id, []byte{byte(p.transport16 >> 8), byte(p.transport16)})
		p.transport16++
	}
	return w.End()
}

// finish encrypts, sends and counts a packet.
func (p *publisher) finish(o *outgoing, packet []byte, headerLen int, now int64, stream uint32) {
	o.note(len(packet)-headerLen, now)
	if p.measured.contains(now) {
		c := &p.offered[stream-p.first]
		c.packets++
		c.bytes += uint64(len(packet))
	}
	index := o.index
	o.advance()
	p.transport.SendRTP(o.sender, packet, headerLen, index)
}

// RTP implements rtc.Handler. Nobody sends media to a publisher.
func (p *publisher) RTP(*rtp.Header, []byte, int64) {}

// Replayed implements rtc.Handler.
func (p *publisher) Replayed(int64) {}

// RTCP implements rtc.Handler: NACKs and keyframe requests are answered, the rest is for those who adapt.
func (p *publisher) RTCP(b []byte, arrival int64) {
	budget := maxRetransmissions
	for len(b) > 0 {
		packet, rest, err := rtcp.Next(b)
		if err != nil {
			return
		}
		b = rest
		switch packet.Kind() {
		case rtcp.PLI:
			p.keyframe(packet.Media, arrival)
		case rtcp.FIR:
			entries := packet.FIRs()
			for ssrc, _, ok := entries.Next(); ok; ssrc, _, ok = entries.Next() {
				p.keyframe(ssrc, arrival)
			}
		case rtcp.NACK:
			numbers := packet.NACKs()
			for seq, ok := numbers.Next(); ok && budget > 0; seq, ok = numbers.Next() {
				budget--
				p.retransmit(packet.Media, seq)
			}
		default:
		}
	}
}

func (p *publisher) keyframe(ssrc uint32, now int64) {
	for _, e := range p.video {
		if e.media.ssrc != ssrc {
			continue
		}
		p.requests.count++
		if since := time.Duration(now - e.lastAsk); e.lastAsk != 0 && (p.requests.closest == 0 || since < p.requests.closest) {
			p.requests.closest = since
		}
		e.lastAsk = now
		e.video.RequestKeyframe()
	}
}

// retransmit answers a NACK (RFC 4588).
func (p *publisher) retransmit(ssrc uint32, seq uint16) {
	for _, e := range p.video {
		if e.media.ssrc != ssrc {
			continue
		}
		p.asked++
		kept := &e.history[seq%uint16(len(e.history))]
		if kept.seq != seq || kept.packet == nil {
			return
		}
		p.answered++
		var h rtp.Header
		if rtp.Parse(kept.packet, &h) != nil {
			return
		}
		o, now := e.repair, rtc.Now()
		o.header.Timestamp, o.header.Marker = h.Timestamp, h.Marker
		packet := p.begin(o, rtc.Video, now, rtc.RepairedRIDURI, e.rid, nil)
		headerLen := len(packet)
		packet = append(packet, byte(seq>>8), byte(seq))
		packet = append(packet, kept.packet[kept.headerLen:]...)
		o.note(len(packet)-headerLen, now)
		index := o.index
		o.advance()
		p.transport.SendRTP(o.sender, packet, headerLen, index)
	}
}

// sendReports sends sender reports of all that has been sent.
func (p *publisher) sendReports(now int64) {
	wall := rtcp.ToNTP(time.Now().UnixNano())
	p.buffer = p.audioOut.appendReport(p.buffer[:0], wall, now, synth.AudioClock)
	for _, e := range p.video {
		p.buffer = e.media.appendReport(p.buffer, wall, now, synth.VideoClock)
		p.buffer = e.repair.appendReport(p.buffer, wall, now, synth.VideoClock)
	}
	if len(p.buffer) > 0 {
		p.transport.SendRTCP(p.buffer)
	}
}
