package janus

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"cardea/relay/plane"
	"cardea/signaling/events"
)

// sweepTime is how often the server looks for sessions to end.
const sweepTime = 2 * time.Second

// Server is the core of the Janus API of one node. Its methods are safe for concurrent use.
type Server struct {
	cfg     Config
	auth    auth
	plugins map[string]*installed
	metrics *Metrics
	limits  *limits
	log     *slog.Logger
	tune    tunables

	base   context.Context // of everything done for sessions; ends when the server is closed
	cancel context.CancelFunc
	work   sync.WaitGroup // goroutines that work for handles

	mu       sync.RWMutex
	closed   bool                // guarded by mu
	sessions map[uint64]*Session // guarded by mu

	peers   sync.Map // plane.PeerID to *Handle
	orphans orphans
	keeper  keeper
	adopts  adoptions

	draining atomic.Bool // see Drain
}

// installed is a plugin and what it said about itself.
type installed struct {
	Plugin
	info PluginInfo
}

// tunables are what the operator may change while the server runs.
type tunables struct {
	refuse                                atomic.Bool
	session, reclaim, candidates, noMedia atomic.Int64 // nanoseconds
	slowLink                              atomic.Int64
}

// New makes a server. [Server.Run] must run for sessions to time out and for the media plane's events to arrive.
func New(cfg Config) (*Server, error) {
	if cfg.Plane == nil {
		return nil, errors.New("janus: no media plane")
	}
	if cfg.Node == "" {
		return nil, errors.New("janus: no node name")
	}
	cfg = cfg.withDefaults()
	s := &Server{
		cfg: cfg, auth: newAuth(&cfg), plugins: map[string]*installed{}, metrics: newMetrics(),
		limits: newLimits(cfg.CreateRate, cfg.CreateBurst), log: cfg.Log, sessions: map[uint64]*Session{},
	}
	for _, p := range cfg.Plugins {
		info := p.Info()
		if s.plugins[info.Package] != nil {
			return nil, fmt.Errorf("janus: two plugins %s", info.Package)
		}
		s.plugins[info.Package] = &installed{Plugin: p, info: info}
	}
	s.tune.session.Store(int64(cfg.SessionTimeout))
	s.tune.reclaim.Store(int64(cfg.ReclaimTimeout))
	s.tune.candidates.Store(int64(cfg.CandidatesTimeout))
	s.tune.noMedia.Store(int64(cfg.NoMediaTimer))
	s.tune.slowLink.Store(int64(cfg.SlowLinkThreshold))
	s.base, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// Run takes the media plane's events and ends sessions whose time has come, until ctx is done. Then it ends all
// sessions and returns when everything they had is closed.
func (s *Server) Run(ctx context.Context) error {
	s.reportCore(events.Running, object{"status": "started", "info": s.info(nil)})
	var loops sync.WaitGroup
	loops.Go(func() { s.events(ctx) })
	loops.Go(func() { s.orphans.run(ctx, s.cfg.Plane, s.log) })
	loops.Go(func() { s.reportFigures(ctx) })
	if s.cfg.Mesh != nil {
		loops.Go(func() { s.keepAll(ctx) })
	}
	tick := time.NewTicker(sweepTime)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			s.sweep(time.Now())
		}
	}
	s.reportCore(events.Shutdown, object{"status": "shutdown", "signum": terminated})
	s.close()
	loops.Wait()
	return nil
}

// close ends all sessions and waits for what works for them.
func (s *Server) close() {
	s.mu.Lock()
	s.closed = true
	l := make([]*Session, 0, len(s.sessions))
	for _, x := range s.sessions {
		l = append(l, x)
	}
	s.mu.Unlock()
	for _, x := range l {
		how := endGone
		if s.cfg.Mesh != nil && s.cfg.MediaOutlives != nil && s.cfg.MediaOutlives(x.id) {
			how = endMoved
		}
		s.end(x, how)
	}
	s.work.Wait()
	s.cancel()
	s.orphans.last(s.cfg.Plane, s.log)
}

// sweep ends the sessions whose time has come.
func (s *Server) sweep(now time.Time) {
	var over []*Session
	s.mu.RLock()
	for _, x := range s.sessions {
		if x.expired(now, s.reclaimTimeout()) {
			over = append(over, x)
		}
	}
	s.mu.RUnlock()
	for _, x := range over {
		x.log.Info("session timed out")
		s.end(x, endTimeout)
	}
	s.limits.sweep(now)
}

// Metrics returns the server's counters, which its transports use as well.
func (s *Server) Metrics() *Metrics { return s.metrics }

// Tokens returns the stored tokens; nil when the server does not use stored tokens.
func (s *Server) Tokens() *Tokens { return s.auth.stored }

// Accept says whether new sessions are accepted, as the admin API's accept_new_sessions does.
func (s *Server) Accept(accept bool) { s.tune.refuse.Store(!accept) }

// accepting returns why no new sessions are accepted, nil if they are.
func (s *Server) accepting() error {
	if s.tune.refuse.Load() {
		return errors.New("refused by the operator")
	}
	if s.cfg.Admit != nil {
		return s.cfg.Admit()
	}
	return nil
}

func (s *Server) sessionTimeout() time.Duration    { return time.Duration(s.tune.session.Load()) }
func (s *Server) reclaimTimeout() time.Duration    { return time.Duration(s.tune.reclaim.Load()) }
func (s *Server) candidatesTimeout() time.Duration { return time.Duration(s.tune.candidates.Load()) }
func (s *Server) noMediaTimer() time.Duration      { return time.Duration(s.tune.noMedia.Load()) }
func (s *Server) slowLinkThreshold() int           { return int(s.tune.slowLink.Load()) }

// find returns a session, nil if there is none of that id.
func (s *Server) find(id uint64) *Session {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.sessions[id]
}

// create makes a session of the given id, or of a random one if that is 0.
func (s *Server) create(id uint64, owner *Source) (*Session, *Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed || len(s.sessions) >= s.cfg.MaxSessions:
		s.metrics.SessionsRefused.Add(1)
		return nil, errorf(CodeNotAccepting, "Currently not accepting new sessions")
	case id != 0 && s.sessions[id] != nil:
		return nil, errorf(CodeSessionConflict, "Session ID already in use")
	}
	for id == 0 || s.sessions[id] != nil {
		id = randomID()
	}
	x := newSession(s, id)
	x.own(owner)
	s.sessions[id] = x
	s.metrics.Sessions.Add(1)
	s.metrics.SessionsCreated.Add(1)
	return x, nil
}

// Gone says that a source will deliver nothing any more. Its sessions wait to be claimed, or end at once if the
// reclaim timeout is 0.
func (s *Server) Gone(src *Source) {
	owned, conn := src.leave()
	if conn != 0 {
		s.cfg.Mesh.Hang(conn)
	}
	for _, x := range owned {
		if x.abandon(src) && s.reclaimTimeout() == 0 {
			s.end(x, endGone)
		}
	}
}

// randomID returns a random id of 53 bits, which JavaScript holds exactly. Ids are bearer secrets.
func randomID() uint64 {
	for {
		var b [8]byte
		_, _ = rand.Read(b[:]) // it never fails
		if id := binary.BigEndian.Uint64(b[:]) >> 11; id != 0 {
			return id
		}
	}
}

// closePeer closes a peer of the media plane. What cannot be closed now is tried again later.
func (s *Server) closePeer(ctx context.Context, id plane.PeerID) {
	s.peers.Delete(id)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	if err := s.cfg.Plane.Close(ctx, id); err != nil && !errors.Is(err, plane.ErrNoPeer) {
		s.log.Warn("peer not closed, trying again later", "peer", id, "error", err)
		s.orphans.add(id)
	}
}
