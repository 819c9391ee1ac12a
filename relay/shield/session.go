package shield

import (
	"time"
)

const (
	activePeriod = int64(20 * time.Millisecond)  // between reports while packets come in
	idlePeriod   = int64(150 * time.Millisecond) // between reports otherwise
	urgentPeriod = int64(5 * time.Millisecond)   // between reports that ask for something
	activeSpan   = int64(time.Second)            // a direction with no packet for so long is idle

	// What comes as a trickle, keepalives of whoever uses the link, is reported less often, and not for as long.
	tricklePeriod = int64(60 * time.Millisecond)
	trickleSpan   = int64(100 * time.Millisecond)
	trickle       = 20 // packets in a second or two
	deadSpan      = int64(1500 * time.Millisecond)

	// maxJoined is more packets than one batch of datagrams, and what it repairs, can be the parts of.
	maxJoined = 2 * (readBatch + maxColumns)

	// expiry is how long a silent remote is kept: longer than QUIC's idle timeout.
	expiry = int64(2 * time.Minute)
)

// session is the state shared with one remote: both directions, without sockets, timers or locks.
type session struct {
	in   tagger
	emit func([]byte) // sends a datagram; the bytes are only good during the call
	up   func([]byte) // hands a packet up; the bytes are good until some more packets were received

	encoder encoder
	decoder decoder
	meter   meter
	losses  losses
	control control
	mtu     mtu

	made     int64
	ready    bool  // the far end has the key
	heard    int64 // when something valid came in last
	lastData int64 // when a symbol or parity came in last
	arrivals arrivals
	lastSend int64 // when a packet was last to be sent
	ratio    float64

	reportsOut, reportsIn uint32
	highestReport         uint32
	lastReport            int64
	reportBuf             []byte
	outgoing              report
	incoming, last        report
	asks                  [maxAsks]ask

	joined     [][]byte // packets put together from two parts, used in turn
	nextJoined int

	rtt       int64 // smoothed, ns; 0: unknown
	least     int64
	bytesOut  uint64 // all
	dataOut   uint64 // symbols that are not repeats, whole datagrams
	extraOut  uint64 // parity and repeats
	bytesMark uint64 // at the last report
	policed   uint64
	forged    uint64
	malformed uint64
}

// newSession returns the state for a remote with which a secret is shared.
func newSession(secret []byte, client bool, cfg Config, now int64, emit, up func([]byte)) (*session, error) {
	out, in, err := taggers(secret, client)
	if err != nil {
		return nil, err
	}
	s := &session{in: in, up: up, made: now}
	s.emit = func(b []byte) {
		s.bytesOut += uint64(len(b))
		emit(b)
	}
	s.encoder = *newEncoder(out, s.emit)
	s.decoder.deliver = s.symbol
	s.control = newControl(float64(cfg.InitialRate)/8, float64(cfg.LeastRate)/8, float64(cfg.MostRate)/8)
	s.mtu.init()
	s.ratio = s.losses.parity()
	s.reportBuf = make([]byte, 0, maxReport)
	return s, nil
}

// send shields a packet and sends it. It must be no longer than [MaxPacket].
func (s *session) send(p []byte, now int64) {
	s.lastSend = now
	if !s.control.admit(len(p), now) {
		s.policed++
		return
	}
	s.mtu.sent(len(p), now)
	before := s.bytesOut
	if limit := s.mtu.size - overhead; len(p) <= limit {
		s.encoder.send(kindPacket, p, now)
		s.dataOut += s.bytesOut - before
		s.owe(now)
		return
	}
	half := (len(p) + 1) / 2
	s.encoder.send(kindHead, p[:half], now)
	s.encoder.send(kindTail, p[half:], now)
	s.dataOut += s.bytesOut - before
	s.owe(now)
	s.owe(now)
}

func (s *session) owe(now int64) { s.extraOut += uint64(s.encoder.owe(s.ratio, now)) }

// receive takes a datagram that looks shielded.
func (s *session) receive(b []byte, now int64) {
	if !s.in.valid(b) {
		s.forged++
		return
	}
	h := parseHeader(b)
	content := b[headerLen:]
	s.ready, s.heard = true, now
	if h.kind != kindReport {
		s.lastData = now
		s.arrivals.add(now)
	}
	s.meter.packet(h.sent, len(b), now)
	switch h.kind {
	case kindPacket, kindHead, kindTail, kindAgain:
		if len(content) > maxSymbol {
			s.malformed++
			return
		}
		s.decoder.symbolIn(nearest(s.decoder.highest, h.number), h.kind, content, now)
	case kindParity:
		s.parity(h, content, now)
	case kindReport:
		s.report(h, content, now)
	case kindProbe: // the meter has its size
	default:
		s.malformed++
	}
}

func (s *session) parity(h header, content []byte, now int64) {
	last := nearest(s.decoder.highest, h.number)
	if len(content) <= parityLen || len(content) > parityLen+maxSymbol ||
		content[0] >= maxWindow || uint64(content[0]) > last || content[1] >= parityPoints {
		s.malformed++
		return
	}
	s.decoder.parityIn(last, int(content[0])+1, content[1], [2]byte{content[2], content[3]}, content[parityLen:], now)
}

// symbol takes what the decoder hands up.
func (s *session) symbol(n uint64, k kind, content []byte) {
	switch k {
	case kindPacket:
		s.up(content)
	case kindHead:
		s.join(n, n+1)
	case kindTail:
		if n > 0 {
			s.join(n-1, n)
		}
	case kindAgain:
		if len(content) <= againLen || content[4] >= byte(kindAgain) {
			s.malformed++
			return
		}
		number := nearest(s.decoder.highest, uint32(content[0])<<24|uint32(content[1])<<16|uint32(content[2])<<8|uint32(content[3]))
		s.decoder.againIn(number, kind(content[4]), content[againLen:])
	default: // the decoder has no other
		s.malformed++
	}
}

// join hands up a packet that was cut, if both parts are here.
func (s *session) join(head, tail uint64) {
	h, t := s.decoder.slot(head), s.decoder.slot(tail)
	if h.number != head || t.number != tail || h.buf == nil || t.buf == nil || h.kind != kindHead || t.kind != kindTail {
		return
	}
	if h.length+t.length > MaxPacket {
		s.malformed++
		return
	}
	if len(s.joined) < maxJoined {
		s.joined = append(s.joined, make([]byte, 0, MaxPacket))
		s.nextJoined = len(s.joined) - 1
	}
	p := s.joined[s.nextJoined][:0]
	s.nextJoined = (s.nextJoined + 1) % maxJoined
	s.up(append(append(p, h.content()...), t.content()...))
}

// newer tells whether a report of this number was not seen before.
func (s *session) newer(number uint32) bool {
	return s.reportsIn == 0 || int32(number-s.highestReport) > 0
}

// report takes a report of the far end.
func (s *session) report(h header, content []byte, now int64) {
	if !s.newer(h.number) {
		return // overtaken, or played again
	}
	r := &s.incoming
	if r.parse(content) != nil {
		s.malformed++
		return
	}
	first := s.reportsIn == 0
	s.reportsIn++
	s.highestReport = h.number
	if r.bytes > 0 {
		s.sample(ticksSince(ticks(now), r.echo) - int64(r.hold)*durationTick)
	}
	s.mtu.heard(int(r.largest), now)
	if !first {
		o := outcome{
			delay: int64(r.delay) * durationTick, mean: int64(r.mean) * durationTick,
			packets: float64(r.settled - s.last.settled), lost: float64(r.lost - s.last.lost),
			sent: float64(s.bytesOut - s.bytesMark), received: float64(r.bytes - s.last.bytes),
		}
		if !congestive(o.mean) {
			s.losses.add(o.packets, o.lost, float64(r.runs-s.last.runs))
		}
		s.losses.missed(o.packets, float64(r.missed-s.last.missed))
		s.control.report(o, s.rtt, now)
	}
	s.bytesMark = s.bytesOut
	s.ratio = s.losses.parity()
	for _, a := range r.asks {
		for i := range uint32(a.count) {
			if n := nearest(s.encoder.next, a.first+i); n < s.encoder.next {
				s.extraOut += uint64(s.encoder.sendAgain(n, now))
				s.owe(now)
			}
		}
	}
	r.asks, s.last.asks = s.last.asks, r.asks
	asks := r.asks
	s.last, s.incoming = s.incoming, s.last
	s.last.asks, s.incoming.asks = nil, asks
}

// arrivals counts packets that came of late.
type arrivals struct {
	began       int64 // of the present second
	count, past int   // in it, and in the one before
}

func (a *arrivals) add(now int64) {
	if since := now - a.began; since >= int64(time.Second) {
		a.past = a.count
		if since >= int64(2*time.Second) {
			a.past = 0
		}
		a.began, a.count = now, 0
	}
	a.count++
}

// busy tells whether more than a trickle came in the last second or two.
func (a *arrivals) busy(now int64) bool {
	return now-a.began < int64(2*time.Second) && a.count+a.past > trickle
}

// sample takes a measured round-trip time.
func (s *session) sample(rtt int64) {
	if rtt <= 0 {
		return
	}
	if s.rtt == 0 {
		s.rtt, s.least = rtt, rtt
	}
	s.rtt += (rtt - s.rtt) / 8
	s.least = min(s.least, rtt)
	s.encoder.keep = 2*s.rtt + int64(300*time.Millisecond)
}

// tick does what time asks for. It is to be called every 5 ms or so while busy, every 50 otherwise.
func (s *session) tick(now int64) {
	if due := s.encoder.due(); due > 0 && now >= due && s.ratio > 0 {
		s.extraOut += uint64(s.encoder.parity(now))
	}
	if !s.ready || now-s.heard > deadSpan {
		if now-s.lastReport >= idlePeriod/3 {
			s.sendReport(nil, now)
		}
		return
	}
	s.mtu.probe(s, now)
	quiet := now - s.lastData
	if quiet > activeSpan/4 && quiet < activeSpan && s.decoder.started {
		s.decoder.settle(s.decoder.highest + 1)
	}
	period := idlePeriod
	switch {
	case quiet < activeSpan && s.arrivals.busy(now):
		period = activePeriod
	case quiet < trickleSpan:
		period = tricklePeriod
	}
	since := now - s.lastReport
	if since < urgentPeriod {
		return
	}
	asks := s.decoder.ask(s.asks[:0], now)
	if len(asks) > 0 || since >= period {
		s.sendReport(asks, now)
	}
}

func (s *session) sendReport(asks []ask, now int64) {
	d := &s.decoder
	r := &s.outgoing
	*r = report{
		highest: uint32(d.highest), settled: uint32(d.settled), lost: uint32(d.lost), runs: uint32(d.runs),
		missed: uint32(d.missed), reports: s.reportsIn, asks: asks,
	}
	s.meter.fill(r, now)
	b := r.append(s.reportBuf[:headerLen])
	putHeader(b, kindReport, now, s.reportsOut)
	s.encoder.out.put(b)
	s.reportsOut++
	s.lastReport = now
	s.emit(b)
}

// idle tells whether nothing was sent or received of late, so that ticks may be rare.
func (s *session) idle(now int64) bool {
	return now-s.lastData > activeSpan && now-s.lastSend > activeSpan
}

// expired tells whether the far end has been silent for so long, with nothing to be sent to it, that its state is not worth keeping.
func (s *session) expired(now int64) bool {
	return now-max(s.heard, s.lastSend, s.made) > expiry
}
