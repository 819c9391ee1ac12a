package videoroom

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"cardea/relay/plane"
	"cardea/signaling/janus"
)

// Package is the name that clients attach to.
const Package = "janus.plugin.videoroom"

const defaultMaxRooms = 100_000

// Plugin is the VideoRoom plugin.
type Plugin struct {
	cfg Config // set once
	ids ids
	log *slog.Logger

	lookups chan struct{} // one for each look-up of a host's name under way; its capacity is the bound

	storing sync.Mutex                  // held over changes of permanent rooms, so that they reach the store in order
	records []MeshRecord                // the configured rooms, for the mesh; set once
	media   atomic.Pointer[plane.Plane] // this node's, known from the first handle
	workers sync.WaitGroup              // goroutines of rooms' inboxes

	mu      sync.RWMutex
	rooms   map[ID]*room    // guarded by mu
	opening map[ID]*opening // likewise; rooms of other nodes on their way
	made    uint64          // rooms so far, guarded by mu
}

var (
	_ janus.AdminPlugin = (*Plugin)(nil)
	_ janus.Heir        = (*Plugin)(nil)
)

// New makes the plugin with its configured rooms.
func New(cfg Config) (*Plugin, error) {
	if cfg.MaxRooms <= 0 {
		cfg.MaxRooms = defaultMaxRooms
	}
	p := &Plugin{
		cfg: cfg, ids: ids{strings: cfg.StringIDs}, log: cfg.Log, lookups: make(chan struct{}, maxLookups),
		rooms: make(map[ID]*room), opening: make(map[ID]*opening),
	}
	if p.log == nil {
		p.log = slog.Default()
	}
	for _, rc := range cfg.Rooms {
		id, err := p.ids.parse(rc.ID)
		if err != nil {
			return nil, fmt.Errorf("configured room: %w", err)
		}
		if err := rc.validate(); err != nil {
			return nil, fmt.Errorf("configured room %s: %w", rc.ID, err)
		}
		rc.normal()
		if err := p.configure(id, rc); err != nil {
			return nil, fmt.Errorf("configured room %s: %w", rc.ID, err)
		}
	}
	return p, nil
}

// configure makes a configured room, or leaves it to the mesh.
func (p *Plugin) configure(id ID, c RoomConfig) error {
	if p.cfg.Mesh == nil {
		if p.insert(id, c) == nil {
			return errors.New("there are two, or too many rooms")
		}
		return nil
	}
	c.ID = id.String()
	if slices.ContainsFunc(p.records, func(r MeshRecord) bool { return r.Room == c.ID }) {
		return errors.New("there are two")
	}
	record, err := writeRecord(c)
	p.records = append(p.records, MeshRecord{Room: c.ID, Record: record})
	return err
}

// Info describes the plugin.
func (p *Plugin) Info() janus.PluginInfo {
	return janus.PluginInfo{
		Package: Package, Name: "JANUS VideoRoom plugin", Author: "Cardea",
		Description: "A conference server: rooms of publishers and of subscribers to any of their streams.",
		Version:     9, VersionString: "0.0.9",
	}
}

// Attach makes the plugin's side of a handle.
func (p *Plugin) Attach(h *janus.Handle) (janus.Instance, error) {
	return p.session(h), nil
}

func (p *Plugin) session(h *janus.Handle) *session {
	if p.media.Load() == nil {
		media := h.Plane()
		p.media.CompareAndSwap(nil, &media)
	}
	return &session{plugin: p, h: h}
}

// Admin answers a request of the admin API (message_plugin). Those are the synchronous requests of clients, with the same
// checks.
func (p *Plugin) Admin(ctx context.Context, body janus.Object) any {
	name, err := requestName(body)
	if err != nil {
		return refusal(err)
	}
	f, ok := syncRequests[name]
	if !ok {
		return refusal(unknownRequest(body))
	}
	reply, err := f(p, ctx, body)
	if err != nil {
		return refusal(err)
	}
	p.tellRequest(nil, name, object(body), reply)
	return reply
}

// RoomCount returns the number of rooms; with a mesh, of those that this node has to do with.
func (p *Plugin) RoomCount() int {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return len(p.rooms)
}

// insert makes a room, unless its id is taken or there are too many: then it returns nil.
func (p *Plugin) insert(id ID, cfg RoomConfig) *room {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rooms[id] != nil || len(p.rooms) >= p.cfg.MaxRooms {
		return nil
	}
	p.made++
	r := newRoom(id, p.made, cfg)
	r.addDummy(p.ids)
	p.rooms[id] = r
	return r
}

// find returns the room of an id, nil when there is none here.
func (p *Plugin) find(id ID) *room {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.rooms[id]
}

// forget takes a room out of the directory.
func (p *Plugin) forget(r *room) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rooms[r.id] == r {
		delete(p.rooms, r.id)
	}
}

// all returns the rooms in the order of their making.
func (p *Plugin) all() []*room {
	p.mu.RLock()
	rooms := make([]*room, 0, len(p.rooms))
	for _, r := range p.rooms {
		rooms = append(rooms, r)
	}
	p.mu.RUnlock()
	slices.SortFunc(rooms, func(a, b *room) int {
		if a.order < b.order {
			return -1
		}
		return 1
	})
	return rooms
}

// visit calls f with the room of a request, locked. It may wait for other nodes first.
func (p *Plugin) visit(ctx context.Context, body janus.Object, f func(r *room) (object, error)) (object, error) {
	return p.visitRoom(ctx, p.ids.get(body, "room"), f)
}

// visitRoom does so with the room of an id.
func (p *Plugin) visitRoom(ctx context.Context, id ID, f func(r *room) (object, error)) (object, error) {
	for {
		r, err := p.lookup(ctx, id)
		if err != nil {
			return nil, err
		}
		reply, again, err := r.visit(f)
		if !again {
			return reply, err
		}
		<-r.held.done // it is about to be let go of here, but may still be elsewhere
	}
}

// visit calls f with the room locked. Again says that the room has to be looked up again.
func (r *room) visit(f func(r *room) (object, error)) (reply object, again bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held != nil {
		if r.held.closed || r.destroyed {
			return nil, true, nil
		}
		r.held.idle = false
	} else if r.destroyed {
		return nil, false, noSuchRoom(r.id)
	}
	reply, err = f(r)
	return reply, false, err
}

// manage calls f with the room of a request, locked, if the request shows the room's secret.
func (p *Plugin) manage(ctx context.Context, body janus.Object, f func(r *room) (object, error)) (object, error) {
	return p.visit(ctx, body, func(r *room) (object, error) {
		if err := checkSecret(r.cfg.Secret, body, "secret"); err != nil {
			return nil, err
		}
		return f(r)
	})
}

// checkAdminKey checks the admin key of a request, if there is one to check.
func (p *Plugin) checkAdminKey(body janus.Object) error {
	if p.cfg.AdminKey == "" {
		return nil
	}
	return checkSecret(&p.cfg.AdminKey, body, "admin_key")
}

// checkForwardKey checks the admin key of a request that forwards media, if that is locked.
func (p *Plugin) checkForwardKey(body janus.Object) error {
	if !p.cfg.LockRTPForward {
		return nil
	}
	return p.checkAdminKey(body)
}

// save keeps a room if the request wants it permanent; it returns whether that is so now. Called with storing held.
func (p *Plugin) save(rec Record) bool {
	if err := p.cfg.Store.Save(rec); err != nil {
		p.log.Error("permanent room not saved", "room", rec.ID, "error", err)
		return false
	}
	return true
}

// requestName returns the name of a request in lower case.
func requestName(body janus.Object) (string, error) {
	if err := check(body, janus.Param{Name: "request", Type: janus.String, Required: true}); err != nil {
		return "", err
	}
	return strings.ToLower(body.String("request")), nil
}

func unknownRequest(body janus.Object) error {
	return refuse(codeInvalidRequest, "Unknown request '%s'", body.String("request"))
}
