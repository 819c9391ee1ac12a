package post

import (
	"time"

	"github.com/pion/sctp"

	"cardea/relay/data"
	"cardea/relay/link/wire"
)

// signal wakes the writer.
func (l *line) signal() {
	select {
	case l.work <- struct{}{}:
	default:
	}
}

// maxSays bounds the control messages that wait. A node that does not take so many is called anew.
const maxSays = 4096

// say queues what a control message says.
func (l *line) say(c control) {
	l.mu.Lock()
	if n := len(l.says); n == 0 || !l.says[n-1].join(&c) {
		l.says = append(l.says, c)
	}
	full := len(l.says) > maxSays
	l.mu.Unlock()
	if full {
		l.close()
	}
	l.signal()
}

// serve has the writer take what there is for the subscriber.
func (l *line) serve(s *subscriber) {
	l.mu.Lock()
	if !l.listed[s] {
		l.listed[s] = true
		l.ready = append(l.ready, s)
	}
	l.mu.Unlock()
	l.signal()
}

// acknowledge has the other node told soon what came for the intake.
func (l *line) acknowledge(i *intake, now time.Time) {
	l.mu.Lock()
	if l.count++; l.count == 1 {
		l.dueAt = now.Add(ackDelay)
	}
	l.due[i] = true
	wake := l.count == 1 || l.count == ackEvery
	l.mu.Unlock()
	if wake {
		l.signal()
	}
}

// turn is what the writer does in one round.
type turn struct {
	says []control
	acks []*intake
	next *subscriber
	wait time.Duration // if there is nothing to do, until when; 0: until signalled
}

func (t *turn) empty() bool { return len(t.says) == 0 && len(t.acks) == 0 && t.next == nil }

func (l *line) turn(now time.Time) (t turn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t.says, l.says = l.says, nil
	if l.count > 0 {
		if t.wait = l.dueAt.Sub(now); t.wait <= 0 || l.count >= ackEvery {
			for i := range l.due {
				t.acks = append(t.acks, i)
			}
			clear(l.due)
			l.count = 0
		}
	}
	if len(l.ready) > 0 {
		t.next = l.ready[0]
		l.ready[0] = nil
		l.ready = l.ready[1:]
		delete(l.listed, t.next)
	}
	return t
}

// write says what is to be said until the association ends.
func (l *line) write(association *sctp.Association) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for l.awaitRoom(association, timer) {
		now := time.Now()
		t := l.turn(now)
		if t.empty() {
			if !l.awaitWork(timer, t.wait) {
				return
			}
			continue
		}
		if err := l.do(association, &t, now); err != nil {
			l.close()
			return
		}
	}
}

// awaitWork waits for a signal, or for that long if it is not 0; false when the association has ended.
func (l *line) awaitWork(timer *time.Timer, wait time.Duration) bool {
	var due <-chan time.Time
	if wait > 0 {
		timer.Reset(wait)
		due = timer.C
	}
	select {
	case <-l.work:
	case <-due:
	case <-l.ended:
		return false
	}
	return true
}

// stalled says whether the other node should have been heard and was not.
func (l *line) stalled(association *sctp.Association, held int) bool {
	now := time.Now()
	if heard := association.BytesReceived(); heard != l.heard || held == 0 {
		l.heard, l.heardAt = heard, now
	}
	trip := time.Duration(association.SRTT() * float64(time.Millisecond))
	return now.Sub(l.heardAt) > stallTime+2*trip
}

// awaitRoom waits until SCTP holds little enough, and is heard; false when the association has ended.
func (l *line) awaitRoom(association *sctp.Association, timer *time.Timer) bool {
	for {
		select {
		case <-l.ended:
			return false
		default:
		}
		window, held := int(association.CWND()), association.BufferedAmount()
		if !l.stalled(association, held) && held < window+max(ahead, window/4) {
			return true
		}
		timer.Reset(recheck)
		select {
		case <-timer.C:
		case <-l.ended:
			return false
		}
	}
}

func (l *line) do(association *sctp.Association, t *turn, now time.Time) error {
	for i := range t.says {
		if err := l.writeControl(association, &t.says[i]); err != nil {
			return err
		}
	}
	for len(t.acks) > 0 {
		n := min(len(t.acks), maxAcks)
		var c control
		for _, i := range t.acks[:n] {
			if a, ok := i.ack(l); ok {
				c.Acks = append(c.Acks, a)
			}
		}
		t.acks = t.acks[n:]
		if err := l.writeControl(association, &c); err != nil {
			return err
		}
	}
	if t.next == nil {
		return nil
	}
	parcels, more := t.next.outlet.room.take(t.next, l, now)
	if more {
		l.serve(t.next)
	}
	for i := range parcels {
		if err := l.writeParcel(association, t.next, &parcels[i], now); err != nil {
			return err
		}
	}
	return nil
}

func (l *line) writeControl(association *sctp.Association, c *control) error {
	l.buffer = wire.Append(l.buffer[:0], c)
	if len(l.buffer) == 0 {
		return nil // SCTP has no empty messages
	}
	stream, err := l.stream(association, controlLane)
	if err != nil {
		return err
	}
	_, err = stream.WriteSCTP(l.buffer, sctp.PayloadTypeWebRTCBinary)
	return err
}

func (l *line) writeParcel(association *sctp.Association, s *subscriber, p *parcel, now time.Time) error {
	m := &p.message
	lane, set, ok := l.lanes.pick(use{s.number, m.Reliability}, now, func(lane int) bool {
		return l.streams[lane] != nil && l.streams[lane].BufferedAmount() > 0
	})
	if !ok {
		l.post.counts.expired.Add(1)
		return nil
	}
	stream, err := l.stream(association, lane)
	if err != nil {
		return err
	}
	if set {
		stream.SetReliabilityParams(m.Reliability.Unordered, byte(data.Retransmits), retransmits(m.Reliability))
	}
	f := frame{
		Subscription: s.number, Incarnation: s.outlet.incarnation, Number: p.number,
		Text: m.Text, Unordered: m.Reliability.Unordered, Partial: m.Reliability.Partial, Limit: m.Reliability.Limit,
		Label: []byte(m.Label), Protocol: []byte(m.Protocol), Data: m.Data,
	}
	if p.number > 0 && f.Unordered {
		f.Floor = p.floor
	}
	if f.Partial == data.Lifetime {
		f.Said = uint64(p.said.Sub(l.post.started).Milliseconds()) //nolint:gosec // said after the start
	}
	l.buffer = wire.Append(l.buffer[:0], &f)
	if _, err := stream.WriteSCTP(l.buffer, sctp.PayloadTypeWebRTCBinary); err != nil {
		return err
	}
	l.post.counts.sent.Add(1)
	return nil
}

// retransmits returns the limit of retransmissions for a message with limits. SCTP here knows no limit in time for what it has
// sent once. One retransmission is fast; those after it take a second each. What comes too late all the same is noticed
// where it arrives, see delays.
func retransmits(r data.Reliability) uint32 {
	if r.Partial == data.Lifetime {
		return 1 + r.Limit/1000
	}
	return r.Limit
}

// stream returns the lane's stream, opened if need be.
func (l *line) stream(association *sctp.Association, lane int) (*sctp.Stream, error) {
	if s := l.streams[lane]; s != nil {
		return s, nil
	}
	s, err := association.OpenStream(streamOf(lane, l.lower), sctp.PayloadTypeWebRTCBinary)
	if err != nil {
		return nil, err
	}
	s.SetReliabilityParams(unorderedOn(lane), byte(data.Reliable), 0)
	l.streams[lane] = s
	return s, nil
}
