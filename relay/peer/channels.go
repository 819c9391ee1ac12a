package peer

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/pion/dtls/v3"

	"cardea/relay/data"
	"cardea/relay/plane"
	"cardea/relay/stream"
)

// Channel is a published data line: what its publisher says goes to all that listen. It is safe for concurrent use.
//
// A peer makes one for each data line that its client publishes. [NewChannel] makes one for a publisher on another node.
type Channel struct {
	muted     atomic.Bool
	elsewhere bool // set once

	mu        sync.RWMutex // guards below
	listeners []*listener
	ears      []*ear
}

// listener is a subscription of a data line. A line may have many.
type listener struct {
	p       *Peer
	sub     plane.Subscription
	channel *Channel // guarded by the directory's calls, which come one at a time
}

var _ stream.Watcher[*Channel] = (*listener)(nil)

// Appeared implements [stream.Watcher].
func (l *listener) Appeared(c *Channel) {
	l.Vanished(l.channel)
	l.channel = c
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listeners = append(c.listeners, l)
}

// Vanished implements [stream.Watcher].
func (l *listener) Vanished(c *Channel) {
	if c == nil || c != l.channel {
		return
	}
	l.channel = nil
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.listeners, l); i >= 0 {
		c.listeners = slices.Delete(c.listeners, i, i+1)
	}
}

// Say passes a message on to all listeners, each client under the label it asked for or else the message's own. They share
// its bytes, which are not to be changed afterwards. It never waits for a listener.
func (c *Channel) Say(m data.Message) {
	if c.muted.Load() {
		return
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, e := range c.ears {
		e.hear(m)
	}
	for _, l := range c.listeners {
		if l.sub.Paused {
			continue
		}
		out := m
		if l.sub.Label != "" {
			out.Label = l.sub.Label
		}
		if l.sub.TextPrefix != "" && m.Text {
			out.Data = append([]byte(l.sub.TextPrefix), m.Data...)
		}
		l.p.say(out)
	}
}

// channels is the data side of a peer.
type channels struct {
	association atomic.Pointer[data.Association]
	published   atomic.Pointer[Channel]
	listeners   []*listener // guarded by Peer.mu
}

// say sends a message to the client; it never blocks.
func (p *Peer) say(m data.Message) {
	a := p.channels.association.Load()
	if a == nil || a.Send(m) != nil {
		p.env.Metrics.MessagesDropped.Add(1)
		return
	}
	p.env.Metrics.MessagesOut.Add(1)
}

// publishChannel makes a data line feed the stream of its publication.
func (p *Peer) publishChannel(l *line, was plane.StreamID) {
	if l.channel != nil && was != l.pub.Stream {
		p.env.Channels.Withdraw(was, l.channel)
		l.channel = nil
	}
	if l.channel == nil {
		l.channel = &Channel{}
		p.env.Channels.Publish(l.pub.Stream, l.channel)
	}
	l.channel.muted.Store(l.pub.Muted)
	p.channels.published.Store(l.channel)
}

// applyChannels makes the data subscriptions what the session and Subscribe say.
func (p *Peer) applyChannels() {
	var wanted []plane.Subscription
	for _, s := range p.subs {
		if l := p.lineOf(s.Mid); l != nil && l.Kind == plane.Data && l.Direction.Sends() {
			wanted = append(wanted, s)
		}
	}
	p.channels.listeners = slices.DeleteFunc(p.channels.listeners, func(l *listener) bool {
		if i := slices.Index(wanted, l.sub); i >= 0 {
			wanted = slices.Delete(wanted, i, i+1)
			return false
		}
		p.env.Channels.Unwatch(l.sub.Stream, l)
		return true
	})
	for _, s := range wanted {
		l := &listener{p: p, sub: s}
		p.channels.listeners = append(p.channels.listeners, l)
		p.env.Channels.Watch(s.Stream, l)
	}
}

// dropChannels ends all data subscriptions.
func (p *Peer) dropChannels() {
	for _, l := range p.channels.listeners {
		p.env.Channels.Unwatch(l.sub.Stream, l)
	}
	p.channels.listeners = nil
}

// watchedConn tells when the DTLS connection under an association has ended: SCTP itself may end before or stay silent.
type watchedConn struct {
	*dtls.Conn
	dead func()
}

// Read implements [net.Conn].
func (w watchedConn) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if err != nil && !isTimeout(err) && !isShortBuffer(err) {
		w.dead()
	}
	return n, err
}

// runChannels speaks SCTP over the DTLS connection until that ends, and returns Janus's reason.
func (p *Peer) runChannels(ctx context.Context, conn *dtls.Conn, active bool, line plane.Line) string {
	ended, dead := context.WithCancel(ctx)
	defer dead()
	a := data.New(data.Config{
		Conn: watchedConn{conn, dead}, Client: active, PeerMaxMessage: int(line.MaxMessage),
		OnMessage: func(c *data.Channel, m []byte, text bool) {
			defer p.recovered("data channel")
			p.env.Metrics.MessagesIn.Add(1)
			if published := p.channels.published.Load(); published != nil {
				published.Say(data.Message{
					Label: c.Label(), Protocol: c.Protocol(), Reliability: c.Reliability(), Text: text, Data: slices.Clone(m),
				})
			}
		},
	})
	p.channels.association.Store(a)
	<-ended.Done()
	p.channels.association.Store(nil)
	a.Close()
	if ctx.Err() != nil {
		return ""
	}
	return "DTLS alert"
}
