package peer

import (
	"context"
	"time"

	"github.com/pion/dtls/v3"
)

// A DTLS connection costs four goroutines, their stacks and buffers, some 50 KiB in all, only to wait for the alert that ends
// it: media does not need it once there are keys. So a connection that has nothing to do is put away. What remains are its keys
// and counters, from which the client's next record, a data line, or the end of the peer brings it back.

// restAfter is how long nothing must have come over a connection until it is put away.
const restAfter = 5 * time.Second

// rested is a connection that was put away.
type rested struct {
	state  dtls.State
	active bool
}

// rest puts a connection away, unless it has something to do or its handshake may have to be repeated. It reports whether it
// did.
//
// No record may ever be sent under a number that was used before: it is the nonce of the encryption. So the wire is cut
// before the counters are read. What has left by then has been counted, and nothing leaves afterwards.
func (p *Peer) rest(conn *dtls.Conn, w *wire, active bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.feedback.ended || !p.heard.Load() || !w.idle() {
		return false
	}
	if _, wants := p.dataLine(); wants {
		return false
	}
	w.cut.Store(true)
	state, ok := conn.ConnectionState()
	if !ok {
		w.cut.Store(false)
		return false
	}
	p.rested, p.wire = &rested{state: state, active: active}, nil
	p.wakeDTLS = p.wake
	return true
}

// wake brings back a connection that was put away, if it was. The peer is locked.
func (p *Peer) wake() {
	if p.rested == nil || p.closed || p.feedback.ended {
		return
	}
	r, w := p.rested, newWire(p)
	p.rested, p.wire, p.wakeDTLS = nil, w, nil
	p.done.Go(func() {
		defer p.recovered("DTLS")
		if reason := p.runResumed(p.ctx, r, w); reason != "" {
			p.down(reason)
		}
	})
}

// runResumed is runDTLS for a connection that was put away.
func (p *Peer) runResumed(ctx context.Context, r *rested, w *wire) string {
	conn, err := r.resume(w)
	if err != nil {
		return "DTLS alert" // what woke it
	}
	return p.attend(ctx, conn, w, r.active)
}

// resume makes a connection of one that was put away, once.
func (r *rested) resume(w *wire) (*dtls.Conn, error) {
	conn, err := dtls.ResumeWithOptions(&r.state, w, wireAddr{}, dtls.WithMTU(dtlsMTU), dtls.WithLoggerFactory(quiet{}))
	if err != nil {
		return nil, err
	}
	if err := conn.Handshake(); err != nil { // exchanges nothing, so an error means that a record has ended the connection
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// farewell tells a client whose connection was put away that it is over. Nothing else of the peer runs any more.
func (p *Peer) farewell() {
	p.mu.Lock()
	r := p.rested
	p.rested = nil
	p.mu.Unlock()
	if r == nil {
		return
	}
	if conn, err := r.resume(newWire(p)); err == nil {
		_ = conn.Close()
	}
}
