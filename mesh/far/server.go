package far

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"cardea/relay/link"
	"cardea/relay/plane"
)

// Times of a media node.
const (
	sweepTime = time.Second
	closeTime = 5 * time.Second          // for all that a lease left behind
	pollTime  = 10 * time.Second         // a call for events without events is answered by then
	serveTime = pollTime + 5*time.Second // for any call of another node
)

// ServerConfig is what a [Server] is made of.
type ServerConfig struct {
	// Plane is this node's media plane. Nobody else may ask it for events.
	Plane plane.Plane
	// Handle registers what answers a kind of call, as link.Endpoint.Handle does.
	Handle func(k link.Kind, h func(ctx context.Context, from link.NodeID, request []byte) ([]byte, error))
	// Grace is how long the peers of a signaling process that is gone are kept for another to adopt: the time clients have
	// to claim their sessions and some seconds more. Default 20 s. Longer keeps the media of vanished clients' sessions
	// longer, shorter hangs up on clients that come back late.
	Grace time.Duration
	// MaxPeers bounds the peers of one other signaling node. Default 50,000.
	MaxPeers int
	Log      *slog.Logger // nil means slog.Default
}

// Server exposes a node's media plane to the signaling of all nodes. Its methods are safe for concurrent use.
type Server struct {
	cfg ServerConfig

	mu       sync.Mutex
	register *register // guarded by mu
	number   uint64    // of the calls of this node's own signaling, guarded by mu
}

// Serve registers the calls and makes the server. [Server.Run] must run for events to arrive.
func Serve(cfg ServerConfig) *Server {
	if cfg.Grace <= 0 {
		cfg.Grace = 20 * time.Second
	}
	if cfg.MaxPeers <= 0 {
		cfg.MaxPeers = 50_000
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	s := &Server{cfg: cfg, register: newRegister(cfg.Grace, cfg.MaxPeers)}
	s.handle()
	return s
}

// Local returns the plane as this node's own signaling sees it: without the peers that other nodes opened. It is
// [Config].Local of the node's Planes.
func (s *Server) Local() plane.Plane { return &view{server: s} }

// Run passes events on and closes what nobody owns any more, until ctx is done.
func (s *Server) Run(ctx context.Context) error {
	var loops sync.WaitGroup
	loops.Go(func() { s.events(ctx) })
	tick := time.NewTicker(sweepTime)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case now := <-tick.C:
			s.sweep(ctx, now)
		}
	}
	loops.Wait()
	return nil
}

// events passes the plane's events to the leases that their peers belong to.
func (s *Server) events(ctx context.Context) {
	var after uint64
	for ctx.Err() == nil {
		l, err := s.cfg.Plane.Events(ctx, after)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, plane.ErrEventsLost) && len(l) > 0:
			s.cfg.Log.Warn("events of the media plane lost", "after", after, "next", l[0].Number)
			after = l[0].Number
			s.lose()
			continue
		case err != nil:
			s.cfg.Log.Warn("no events of the media plane", "error", err)
			pause(ctx, time.Second)
			continue
		}
		for _, e := range l {
			after = e.Number
			s.mu.Lock()
			if o := s.register.peers[e.Peer]; o != nil {
				o.lease.log.add(e)
			}
			s.mu.Unlock()
		}
	}
}

// lose tells all leases that events are missing.
func (s *Server) lose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.register.leases {
		l.log.lose()
	}
}

// sweep closes what the leases that ended leave behind. What cannot be closed is tried no second time: the plane is in the
// same process, so that it is gone.
func (s *Server) sweep(ctx context.Context, now time.Time) {
	s.mu.Lock()
	peers, forwarders := s.register.sweep(now)
	s.mu.Unlock()
	if len(peers)+len(forwarders) > 0 {
		s.cfg.Log.Info("closing what a signaling process left behind", "peers", len(peers), "forwarders", len(forwarders))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	for _, id := range forwarders {
		if err := s.cfg.Plane.StopForward(ctx, id); err != nil {
			s.cfg.Log.Warn("forwarder not stopped", "forwarder", id, "error", err)
		}
	}
	for _, id := range peers {
		if err := s.cfg.Plane.Close(ctx, id); err != nil && !errors.Is(err, plane.ErrNoPeer) {
			s.cfg.Log.Warn("peer not closed", "peer", id, "error", err)
		}
	}
}

// view is the plane as the holder of one lease sees it, for one call or, with the zero lease, for all calls of this node's
// own signaling.
type view struct {
	server *Server
	lease  leaseName
	number uint64 // of the call; 0 when the server is to number it
}

var _ plane.Plane = (*view)(nil)

// with calls f with the register locked, the lease and the number of the call.
func (v *view) with(f func(r *register, l *lease, number uint64) error) error {
	s := v.server
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	l, err := s.register.lease(v.lease, now)
	if err != nil {
		return err
	}
	l.heard = now
	number := v.number
	if number == 0 {
		s.number++
		number = s.number
	}
	return f(s.register, l, number)
}

// change checks that the caller may change a peer.
func (v *view) change(id plane.PeerID) error {
	return v.with(func(r *register, l *lease, number uint64) error { return r.change(l, id, number) })
}

// use checks that a peer is the caller's.
func (v *view) use(id plane.PeerID) error {
	return v.with(func(r *register, l *lease, _ uint64) error {
		_, err := r.use(l, id)
		return err
	})
}

// Open implements [plane.Plane]. That the open fails does not mean that there is no peer: the caller closes it.
func (v *view) Open(ctx context.Context, id plane.PeerID, opts plane.PeerOptions) (plane.Transport, error) {
	if id == "" || len(id) > maxName || len(opts.Session) > maxName {
		return plane.Transport{}, fmt.Errorf("%w: peer id of %d bytes, session of %d", plane.ErrInvalid, len(id), len(opts.Session))
	}
	// Noted before there can be events of it.
	if err := v.with(func(r *register, l *lease, number uint64) error { return r.open(l, id, number) }); err != nil {
		return plane.Transport{}, err
	}
	return v.server.cfg.Plane.Open(ctx, id, opts)
}

// Restart implements [plane.Plane].
func (v *view) Restart(ctx context.Context, id plane.PeerID, generation uint32) (plane.Transport, error) {
	if err := v.change(id); err != nil {
		return plane.Transport{}, err
	}
	return v.server.cfg.Plane.Restart(ctx, id, generation)
}

// Negotiate implements [plane.Plane].
func (v *view) Negotiate(ctx context.Context, id plane.PeerID, sess plane.Session) error {
	if err := errors.Join(check(&sess), v.change(id)); err != nil {
		return err
	}
	return v.server.cfg.Plane.Negotiate(ctx, id, sess)
}

// AddCandidates implements [plane.Plane].
func (v *view) AddCandidates(ctx context.Context, id plane.PeerID, c []plane.Candidate, complete bool) error {
	if err := errors.Join(checkCount(len(c), maxCandidates), v.change(id)); err != nil {
		return err
	}
	return v.server.cfg.Plane.AddCandidates(ctx, id, c, complete)
}

// Publish implements [plane.Plane].
func (v *view) Publish(ctx context.Context, id plane.PeerID, p []plane.Publication) error {
	if err := errors.Join(checkCount(len(p), maxLines), v.change(id)); err != nil {
		return err
	}
	return v.server.cfg.Plane.Publish(ctx, id, p)
}

// Subscribe implements [plane.Plane].
func (v *view) Subscribe(ctx context.Context, id plane.PeerID, subs []plane.Subscription) error {
	if err := errors.Join(checkCount(len(subs), maxLines), v.change(id)); err != nil {
		return err
	}
	return v.server.cfg.Plane.Subscribe(ctx, id, subs)
}

// Keyframe implements [plane.Plane].
func (v *view) Keyframe(ctx context.Context, s plane.StreamID) error {
	return v.server.cfg.Plane.Keyframe(ctx, s)
}

// Forward implements [plane.Plane].
func (v *view) Forward(ctx context.Context, f plane.Forwarder) (rtcpPort uint16, err error) {
	if f.ID == "" || len(f.ID) > maxName {
		return 0, fmt.Errorf("%w: forwarder id of %d bytes", plane.ErrInvalid, len(f.ID))
	}
	if err := v.with(func(r *register, l *lease, number uint64) error { return r.forward(l, f.ID, number) }); err != nil {
		return 0, err
	}
	return v.server.cfg.Plane.Forward(ctx, f)
}

// StopForward implements [plane.Plane].
func (v *view) StopForward(ctx context.Context, id string) error {
	var mine bool
	err := v.with(func(r *register, l *lease, number uint64) error {
		mine = len(id) <= maxName && r.stopForward(l, id, number)
		return nil
	})
	if err != nil || !mine {
		return err
	}
	return v.server.cfg.Plane.StopForward(ctx, id)
}

// Stats implements [plane.Plane].
func (v *view) Stats(ctx context.Context, id plane.PeerID) (plane.PeerStats, error) {
	if err := v.use(id); err != nil {
		return plane.PeerStats{}, err
	}
	return v.server.cfg.Plane.Stats(ctx, id)
}

// Close implements [plane.Plane].
func (v *view) Close(ctx context.Context, id plane.PeerID) error {
	var there bool
	err := v.with(func(r *register, l *lease, number uint64) (err error) {
		if len(id) <= maxName {
			there, err = r.closing(l, id, number)
		}
		return err
	})
	if err != nil || !there {
		return err
	}
	if err := v.server.cfg.Plane.Close(ctx, id); err != nil && !errors.Is(err, plane.ErrNoPeer) {
		return err
	}
	return v.with(func(r *register, _ *lease, _ uint64) error {
		r.closed(id)
		return nil
	})
}

// Keep implements [plane.Plane].
func (v *view) Keep(ctx context.Context, id plane.PeerID, version uint64, snapshot []byte) error {
	if err := v.use(id); err != nil {
		return err
	}
	return v.server.cfg.Plane.Keep(ctx, id, version, snapshot)
}

// Kept implements [plane.Plane].
func (v *view) Kept(ctx context.Context, session string) ([]plane.Kept, error) {
	return v.server.cfg.Plane.Kept(ctx, session)
}

// Adopt implements [plane.Plane].
func (v *view) Adopt(ctx context.Context, id plane.PeerID, epoch uint64) error {
	err := v.with(func(r *register, l *lease, number uint64) error { return r.adopt(l, id, epoch, number) })
	if err != nil {
		return err
	}
	return v.server.cfg.Plane.Adopt(ctx, id, epoch)
}

// Events implements [plane.Plane].
func (v *view) Events(ctx context.Context, after uint64) ([]plane.Event, error) {
	events, _, err := v.poll(ctx, 0, after)
	return events, err
}

// poll returns the events of the lease above a position in the given log, which may be 0 for the one there is, and the log.
func (v *view) poll(ctx context.Context, log, after uint64) ([]plane.Event, uint64, error) {
	var l *lease
	err := v.with(func(_ *register, found *lease, _ uint64) error {
		l = found
		l.polls++
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	defer func() {
		v.server.mu.Lock()
		defer v.server.mu.Unlock()
		l.polls--
		l.heard = time.Now()
	}()
	if log != 0 && log != l.id {
		l.log.lose() // events may be missing between the caller's log and this one
		after = 0
	}
	events, err := l.log.after(ctx, after)
	return events, l.id, err
}

// pause waits, unless ctx is done before.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
