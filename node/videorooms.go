package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"cardea/mesh"
	"cardea/mesh/room"
	"cardea/signaling/videoroom"
)

// roomPrefix stands before the ids of the VideoRoom plugin's rooms in the mesh, as in the names of streams.
const roomPrefix = "videoroom/"

// videoRooms is the mesh as the VideoRoom plugin wants it.
type videoRooms struct {
	mesh *mesh.Mesh
	list *roomList // of the node's rooms; nil if there is none
}

var _ videoroom.Mesh = videoRooms{}

// translated returns an error that the plugin knows.
func translated(err error) error {
	for from, to := range map[error]error{
		room.ErrExists: videoroom.ErrMeshExists, room.ErrNoRoom: videoroom.ErrMeshNoRoom, room.ErrTaken: videoroom.ErrMeshTaken,
		room.ErrNoParticipant: videoroom.ErrMeshGone, room.ErrFull: videoroom.ErrMeshFull,
	} {
		if errors.Is(err, from) {
			return fmt.Errorf("%w: %w", to, err)
		}
	}
	return err
}

// Create implements [videoroom.Mesh].
func (v videoRooms) Create(ctx context.Context, id string, record []byte, permanent bool) error {
	if err := v.mesh.Rooms().Create(ctx, roomPrefix+id, record, permanent); err != nil {
		return translated(err)
	}
	v.list.made(roomPrefix+id, record)
	return nil
}

// List implements [videoroom.Mesh].
func (v videoRooms) List(ctx context.Context) ([]videoroom.MeshListing, error) {
	list, err := v.mesh.Rooms().List(ctx, roomPrefix)
	rooms := make([]videoroom.MeshListing, 0, len(list))
	for _, l := range list {
		rooms = append(rooms, videoroom.MeshListing{Room: strings.TrimPrefix(l.ID, roomPrefix), Record: l.Record, Participants: l.Participants})
	}
	return rooms, err
}

// Open implements [videoroom.Mesh].
func (v videoRooms) Open(ctx context.Context, id string, w videoroom.MeshWatcher) (videoroom.MeshRoom, error) {
	r := &videoRoom{watcher: w, list: v.list, id: roomPrefix + id}
	var err error
	r.Room, err = v.mesh.Open(ctx, r.id, room.Watcher{
		Edited: r.edited, Destroyed: r.destroyed, Present: w.Present, Gone: w.Gone, Lost: w.Lost, Asked: w.Asked,
	})
	if err != nil {
		return nil, translated(err)
	}
	v.list.opened(r.id, r.Record())
	return r, nil
}

// videoRoom is a room that the plugin holds. The mesh does not tell a node of its own changes; the plugin wants to learn of them as
// everybody does.
type videoRoom struct {
	*mesh.Room
	watcher videoroom.MeshWatcher
	list    *roomList
	id      string

	mu   sync.Mutex // orders what is told of the record
	over bool
}

func (r *videoRoom) edited(record []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over {
		r.list.edited(r.id, record)
		r.watcher.Edited(record)
	}
}

func (r *videoRoom) destroyed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over {
		r.over = true
		r.list.destroyed(r.id)
		r.watcher.Destroyed()
	}
}

// Edit implements [videoroom.MeshRoom].
func (r *videoRoom) Edit(ctx context.Context, record []byte, permanent bool) error {
	if err := r.Room.Edit(ctx, record, permanent); err != nil {
		return translated(err)
	}
	if now := r.Record(); now != nil {
		r.edited(now) // or somebody's later one
	}
	return nil
}

// Destroy implements [videoroom.MeshRoom].
func (r *videoRoom) Destroy(ctx context.Context, permanent bool) error {
	if err := r.Room.Destroy(ctx, permanent); err != nil {
		return translated(err)
	}
	r.destroyed()
	return nil
}

// Put implements [videoroom.MeshRoom].
func (r *videoRoom) Put(participant string, entry []byte) {
	r.list.entered(r.id, participant)
	r.Room.Put(participant, entry)
}

// Remove implements [videoroom.MeshRoom].
func (r *videoRoom) Remove(participant, why string) {
	r.list.left(r.id, participant)
	r.Room.Remove(participant, why)
}

// Close implements [videoroom.MeshRoom].
func (r *videoRoom) Close() {
	r.list.closed(r.id)
	r.Room.Close()
}

// Claim implements [videoroom.MeshRoom].
func (r *videoRoom) Claim(ctx context.Context, participant string) error {
	return translated(r.Room.Claim(ctx, participant))
}

// Ask implements [videoroom.MeshRoom].
func (r *videoRoom) Ask(ctx context.Context, participant string, request []byte) ([]byte, error) {
	reply, err := r.Room.Ask(ctx, participant, request)
	return reply, translated(err)
}

// What the plugin may say of a participant fits into what the mesh keeps.
const _ = uint(mesh.MaxEntry - videoroom.MaxMeshEntry)
