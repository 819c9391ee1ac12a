package data

import (
	"time"

	"github.com/pion/sctp"
)

// Message is a message to be sent.
type Message struct {
	// Label names the channel. If none of that label is open, one is opened with the protocol and reliability given, which
	// otherwise do not count.
	Label       string
	Protocol    string
	Reliability Reliability
	Text        bool   // a string, not binary
	Data        []byte // may be empty; not to be changed after Send, so that many associations can share it

	expires time.Time // with Lifetime, which runs from Send on
}

// recheck is how long the writer waits for SCTP to tell of room before it looks by itself. It has to look when what is
// buffered is spread over so many streams that none of them falls below its own threshold.
const recheck = 50 * time.Millisecond

// Send puts a message in the queue and returns at once; messages may be sent before the association is up. The error is
// [ErrFull], [ErrTooLarge], [ErrName] or [ErrClosed], and the message is then dropped.
func (a *Association) Send(m Message) error {
	switch {
	case len(m.Data) > a.cfg.PeerMaxMessage:
		a.stats.dropped.Add(1)
		return ErrTooLarge
	case len(m.Label) > MaxName || len(m.Protocol) > MaxName:
		a.stats.dropped.Add(1)
		return ErrName
	}
	if m.Reliability.Partial == Lifetime {
		m.expires = time.Now().Add(time.Duration(m.Reliability.Limit) * time.Millisecond)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over {
		a.stats.dropped.Add(1)
		return ErrClosed
	}
	if a.queued+len(m.Data)+messageOverhead > a.cfg.Queue {
		a.stats.dropped.Add(1)
		return ErrFull
	}
	a.queue = append(a.queue, m)
	a.queued += len(m.Data) + messageOverhead
	a.startWriting()
	return nil
}

// startWriting starts the goroutine that sends what is queued unless it runs, nothing is queued, or SCTP is not up. The caller
// holds mu.
func (a *Association) startWriting() {
	if !a.writing && a.sctp != nil && !a.over && len(a.queue) > 0 {
		a.writing = true
		a.workers.Go(a.write)
	}
}

// write sends what is queued, as fast as the peer takes it, and ends when nothing is left.
func (a *Association) write() {
	for {
		m, ok := a.next()
		if !ok {
			return
		}
		if !a.awaitRoom() {
			a.stats.dropped.Add(1)
			continue // the queue is empty by now
		}
		n := a.deliver(m)
		if n == 0 {
			a.stats.dropped.Add(1)
			continue
		}
		a.inSCTP.add(n)
		a.stats.messagesSent.Add(1)
		a.stats.bytesSent.Add(uint64(len(m.Data)))
	}
}

// next takes the first message off the queue; without one the writer is no more.
func (a *Association) next() (m Message, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.queue) == 0 {
		a.queue, a.writing = nil, false
		return Message{}, false
	}
	m = a.queue[0]
	a.queue[0] = Message{} // lets go of its data
	a.queue = a.queue[1:]
	a.queued -= len(m.Data) + messageOverhead
	return m, true
}

// awaitRoom waits until SCTP holds little enough; false when the association is over.
func (a *Association) awaitRoom() bool {
	for {
		select {
		case <-a.ended:
			return false
		default:
		}
		held := a.sctp.BufferedAmount() // sctp is set before the writer starts, and stays
		if held <= a.cfg.Buffered && a.inSCTP.messages(held) < maxBufferedMessages {
			return true
		}
		timer := time.NewTimer(recheck)
		select {
		case <-a.room:
		case <-a.ended:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// deliver hands a message to SCTP and returns how many bytes that took; none if it was dropped. It does not wait.
func (a *Association) deliver(m Message) int {
	if !m.expires.IsZero() && time.Now().After(m.expires) {
		return 0
	}
	c, opening := a.channel(m)
	if c == nil {
		return 0
	}
	n := 0
	if opening {
		open := openMessage(c.reliability, c.label, c.protocol)
		if _, err := c.stream.WriteSCTP(open, sctp.PayloadTypeWebRTCDCEP); err != nil {
			return 0 // the association is over
		}
		n = len(open)
	}
	data, ppid := m.Data, sctp.PayloadTypeWebRTCBinary
	switch {
	case m.Text && len(data) > 0:
		ppid = sctp.PayloadTypeWebRTCString
	case m.Text:
		data, ppid = []byte{0}, sctp.PayloadTypeWebRTCStringEmpty
	case len(data) == 0:
		data, ppid = []byte{0}, sctp.PayloadTypeWebRTCBinaryEmpty
	}
	if _, err := c.stream.WriteSCTP(data, ppid); err != nil {
		return 0 // the peer is closing the channel, or the association is over
	}
	return n + len(data)
}

// channel returns the channel for a message, and whether it is new; nil when no more can be opened.
func (a *Association) channel(m Message) (c *Channel, opening bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.labels[m.Label]; c != nil {
		return c, false
	}
	id, ok := a.freeID(m.Label)
	if a.over || !ok {
		return nil, false
	}
	stream, err := a.sctp.OpenStream(id, sctp.PayloadTypeWebRTCBinary)
	if err != nil {
		return nil, false // the association is over
	}
	c = &Channel{
		id: id, stream: stream, label: m.Label, protocol: m.Protocol, reliability: m.Reliability, open: true,
	}
	a.labels[c.label] = c
	a.start(c)
	return c, true
}

// firstID returns the first stream identifier for channels opened here: even ones are the DTLS client's, and its stream
// 0 is kept for [DefaultLabel].
func (a *Association) firstID() uint16 {
	if a.cfg.Client {
		return 2
	}
	return 1
}

// freeID returns a stream identifier for a channel of that label, going round so that one just closed, of which the peer
// may not know yet, is not used again soon. The caller holds mu.
func (a *Association) freeID(label string) (id uint16, ok bool) {
	if len(a.channels) >= MaxChannels {
		return 0, false
	}
	if a.cfg.Client && label == DefaultLabel && a.channels[0] == nil {
		return 0, true
	}
	for id, step := a.lastID, 0; step < MaxChannels; step++ {
		if id += 2; id >= MaxStreams {
			id = a.firstID()
		}
		if a.channels[id] == nil {
			a.lastID = id
			return id, true
		}
	}
	return 0, false
}

// backlog tells, roughly, how many of the messages given to SCTP it still holds: it knows their sizes in order, SCTP knows
// the sum.
type backlog struct {
	sizes []int
	sum   int
}

func (b *backlog) add(size int) {
	b.sizes = append(b.sizes, size)
	b.sum += size
}

// messages returns how many messages the last held bytes are.
func (b *backlog) messages(held int) int {
	for len(b.sizes) > 0 && b.sum-b.sizes[0] >= held {
		b.sum -= b.sizes[0]
		b.sizes = b.sizes[1:]
	}
	return len(b.sizes)
}
