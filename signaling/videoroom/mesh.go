package videoroom

import (
	"context"
	"errors"
)

// What a [Mesh] refuses. Errors that wrap one of these are answered with Janus's own codes; any other error means that
// the mesh could not do it, now.
var (
	// ErrMeshExists says that there is a room of that id.
	ErrMeshExists = errors.New("videoroom: the room exists")
	// ErrMeshNoRoom says that there is no room of that id, or no more.
	ErrMeshNoRoom = errors.New("videoroom: no such room")
	// ErrMeshTaken says that a participant of that id is in the room, or about to be.
	ErrMeshTaken = errors.New("videoroom: the participant's id is taken")
	// ErrMeshGone says that no participant of that id is known to the mesh.
	ErrMeshGone = errors.New("videoroom: no such participant")
	// ErrMeshFull says that there are as many rooms as the mesh bears.
	ErrMeshFull = errors.New("videoroom: too many rooms")
)

// Bounds that the plugin keeps to, bytes.
const (
	MaxMeshID     = 256          // the id of a room or of a participant
	MaxMeshRecord = 64 << 10     // a record
	MaxMeshEntry  = 64<<10 - 128 // an entry: the mesh adds something
)

// Mesh is what the plugin needs of the other nodes: rooms that they all share. A room has a record, its options, which
// any node may change (the last change wins), and a roster, the participants of all nodes with an entry each, which only
// the participant's own node writes. Records and entries are opaque to the mesh. A room is called by its id as text, a
// participant by its id as text: the Publisher of its streams in the media plane.
//
// Methods with a context may wait for other nodes, but not longer than the context allows; those without never wait. All
// are safe for concurrent use, and the plugin calls those that may wait with no lock held.
type Mesh interface {
	// Create makes a room. With permanent it is there again after all nodes were restarted. It fails with
	// [ErrMeshExists] or [ErrMeshFull].
	Create(ctx context.Context, room string, record []byte, permanent bool) error
	// Open makes the node hold a room: from now on it knows the record and the roster and is told of changes. When it
	// returns, the watcher's Present was called for everybody who is known to be in the room. It fails with
	// [ErrMeshNoRoom]. A room is not opened again before its Close.
	Open(ctx context.Context, room string, w MeshWatcher) (MeshRoom, error)
	// List tells of all rooms of all nodes, in the order in which clients are told of them. With an error, it tells of
	// those that it could learn of.
	List(ctx context.Context) ([]MeshListing, error)
}

// MeshRoom is a room that the node holds.
type MeshRoom interface {
	// Record returns the record as it is now, nil if the room was destroyed. It does not wait and may be called with the
	// room's mutex held. The caller does not change it.
	Record() []byte
	// Edit replaces the record. With permanent that is still so after a restart of all nodes. When it returns nil,
	// Record returns the new record, or a later one. It fails with [ErrMeshNoRoom] if the room was destroyed.
	Edit(ctx context.Context, record []byte, permanent bool) error
	// Destroy ends the room on all nodes; with permanent, for good, if it would be back after a restart otherwise. It
	// fails with [ErrMeshNoRoom] if somebody else was faster.
	Destroy(ctx context.Context, permanent bool) error
	// Claim reserves an id for a participant of this node, until Remove; without a Put it may lapse. It fails with
	// [ErrMeshTaken] if there is a participant of that id, or another node has claimed one. Participants that nobody can
	// have chosen the id of are put without a claim.
	Claim(ctx context.Context, participant string) error
	// Put tells the others of a participant of this node, or of its change. Of several puts of one participant the
	// others may see the last one only. It never waits and may be called with the room's mutex held.
	Put(participant string, entry []byte)
	// Remove takes a participant of this node, or a claim, away and says why: the word goes to the others' Gone. It
	// never waits and may be called with the room's mutex held.
	Remove(participant, why string)
	// Ask has the participant's node answer a request: its watcher's Asked is called. An error of Asked comes back as
	// some error. It fails with [ErrMeshGone] if there is no such participant.
	Ask(ctx context.Context, participant string, request []byte) ([]byte, error)
	// Close lets go of the room: no call of the watcher begins after it returns. It does not wait for those under way,
	// and may be called after Destroyed.
	Close()
}

// MeshWatcher is told what other nodes do to a room. The calls for a room come one at a time (but for Asked, which may
// come at any time), in an order that is the same as each writer's, with no lock of the mesh held. They return soon:
// none waits for anything but the room's mutex.
type MeshWatcher struct {
	// Edited tells of a new record. The node that made it need not be told.
	Edited func(record []byte)
	// Destroyed tells that the room is no more. The node that destroyed it need not be told. No call but Asked follows.
	Destroyed func()
	// Present tells of a participant of another node, or of its change. The participant's id is nobody's of this node:
	// if it was, Lost came before.
	Present func(participant string, entry []byte)
	// Gone tells that a participant of another node is no more. Why is what its node said, "" if that node is gone
	// itself. If a third node has put a participant of that id since, Present follows at once, and why may be "" as well.
	Gone func(participant, why string)
	// Lost tells that a participant of this node, or a claim to its id, lost against another of the same id, for
	// instance after two parts of the mesh were apart. This node must not write its entry any more.
	Lost func(participant string)
	// Asked answers another node's request about a participant of this node. It may wait for the media plane; the
	// context bounds it.
	Asked func(ctx context.Context, participant string, request []byte) ([]byte, error)
}

// MeshListing is what is known of a room without holding it.
type MeshListing struct {
	Room         string
	Record       []byte
	Participants int // in the roster
}

// MeshRecord is a room with its record, for those that are there from the start.
type MeshRecord struct {
	Room   string
	Record []byte
}
