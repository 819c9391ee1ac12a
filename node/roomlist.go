package node

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"cardea/signaling/events"
	"cardea/signaling/events/spool"
)

// roomList keeps on disk which rooms the node has: those that somebody here is in, and those that were made here and are not
// destroyed. After a restart, however the process ended, the first event tells of them.
//
// It is a file of lines, each a JSON object that says how a room is now, the last line of a room counting. Lines are written as
// rooms change, so a kill -9 costs the changes of the last milliseconds, and at most a line that is cut off, which is passed over. The
// file is written anew when most of it is out of date. A clean stop freezes the list before clients are hung up: the rooms are
// those that they were in.
type roomList struct {
	path    string
	log     *slog.Logger
	numbers bool          // ids of rooms are numbers
	work    chan struct{} // has a token when there is something to write

	mu      sync.Mutex // guards below
	rooms   map[string]*listedRoom
	changed map[string]bool // rooms to be written
	prior   []roomLine      // rooms of earlier processes, of which not every sink has told yet
	ended   string          // how the earlier process ended
	frozen  bool
	anew    bool // the file is to be written as a whole
}

// listedRoom is a room of this process.
type listedRoom struct {
	community json.RawMessage
	made      bool // here
	open      bool // somebody here has to do with it
	here      map[string]struct{}
}

// roomLine is a line of the file.
type roomLine struct {
	Room         string          `json:"room,omitempty"`
	Community    json.RawMessage `json:"community_id,omitempty"`
	Participants int             `json:"participants,omitempty"`
	Gone         bool            `json:"gone,omitempty"`
	Stopped      bool            `json:"stopped,omitempty"` // the last line of a process that stopped cleanly
}

const (
	roomListFile = "rooms.list"
	// maxRoomList bounds what is read of the file.
	maxRoomList = 256 << 20
	// leastAnew is the length from which on the file is written anew when most of it is out of date.
	leastAnew = 1 << 20
	// roomsPerEvent bounds the rooms in one event; of more, several events tell.
	roomsPerEvent = 2000
)

// How an earlier process ended.
const (
	endedNever   = "first start"
	endedStopped = "stopped"
	endedCrashed = "crashed"
	endedUnknown = "unknown"
)

// loadRoomList reads what an earlier process had. It changes nothing on disk.
func loadRoomList(path string, log *slog.Logger) *roomList {
	l := &roomList{path: path, log: log, work: make(chan struct{}, 1), rooms: map[string]*listedRoom{}, changed: map[string]bool{}, anew: true}
	f, err := os.Open(path)
	if err == nil {
		defer f.Close()
		var info fs.FileInfo
		if info, err = f.Stat(); err == nil && info.Size() > maxRoomList {
			err = fmt.Errorf("longer than %d bytes", maxRoomList)
		}
	}
	if err == nil {
		l.prior, l.ended, err = readRoomList(bufio.NewScanner(f))
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.ended = endedNever
	case err != nil:
		l.ended = endedUnknown
		log.Warn("the list of rooms that the node had cannot be read", "error", err)
	}
	return l
}

// readRoomList returns the rooms that the lines tell of, ordered by id. What is no line is passed over.
func readRoomList(in *bufio.Scanner) (rooms []roomLine, ended string, err error) {
	byID := map[string]roomLine{}
	ended = endedCrashed
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var line roomLine
		if json.Unmarshal(in.Bytes(), &line) != nil {
			continue
		}
		switch {
		case line.Stopped:
			ended = endedStopped
		case line.Gone:
			delete(byID, line.Room)
		case line.Room != "":
			byID[line.Room] = line
		}
	}
	rooms = slices.SortedFunc(maps.Values(byID), func(a, b roomLine) int { return cmp.Compare(a.Room, b.Room) })
	return rooms, ended, in.Err()
}

// toldRoom is a room in the event.
type toldRoom struct {
	Plugin       string          `json:"plugin"`
	Room         json.RawMessage `json:"room"`
	Community    json.RawMessage `json:"community_id,omitempty"`
	Participants int             `json:"participants"`
}

// first returns the events that tell of the rooms of the process before, to be delivered before all others: user events "room_list".
func (l *roomList) first(bus *events.Bus, s *spool.Spool, now time.Time) []spool.Entry {
	rooms := make([]toldRoom, 0, len(l.prior))
	for _, r := range l.prior {
		plugin, id, _ := strings.Cut(r.Room, "/")
		rooms = append(rooms, toldRoom{plugin, roomID(id, l.numbers), r.Community, r.Participants})
	}
	parts := max(1, (len(rooms)+roomsPerEvent-1)/roomsPerEvent)
	var all []spool.Entry
	for part := range parts {
		some := rooms[part*roomsPerEvent : min((part+1)*roomsPerEvent, len(rooms))]
		body, err := json.Marshal(struct {
			Event string     `json:"event"`
			Ended string     `json:"ended"`
			Part  int        `json:"part"`
			Parts int        `json:"parts"`
			Rooms []toldRoom `json:"rooms"`
		}{"room_list", l.ended, part + 1, parts, some})
		if err != nil {
			l.log.Error("the list of rooms cannot be told", "error", err)
			continue
		}
		e := events.Event{Type: events.User, Time: now, Body: body}
		all = append(all, s.First(uint16(e.Type), now, bus.Emitter(), e.AppendJSON(nil, bus.Emitter(), bus.Label())))
	}
	return all
}

// change changes what is known of a room, and has it written. A nil list knows nothing.
func (l *roomList) change(id string, f func(r *listedRoom)) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.frozen {
		return
	}
	r := l.rooms[id]
	if r == nil {
		r = &listedRoom{here: map[string]struct{}{}}
	}
	was, known := r.line(id), l.rooms[id] != nil
	f(r)
	if r.made || r.open {
		l.rooms[id] = r
		if now := r.line(id); known && now.Participants == was.Participants && bytes.Equal(now.Community, was.Community) {
			return
		}
	} else {
		if !known {
			return
		}
		delete(l.rooms, id)
	}
	l.changed[id] = true
	select {
	case l.work <- struct{}{}:
	default:
	}
}

func (r *listedRoom) line(id string) roomLine {
	return roomLine{Room: id, Community: r.community, Participants: len(r.here)}
}

// community returns the community in a room's record, which is the plugin's; nil if it has none.
func community(record []byte) json.RawMessage {
	var r struct {
		Community json.RawMessage `json:"community_id"`
	}
	if json.Unmarshal(record, &r) != nil {
		return nil
	}
	return r.Community
}

func (l *roomList) made(id string, record []byte) {
	l.change(id, func(r *listedRoom) { r.made, r.community = true, community(record) })
}

func (l *roomList) opened(id string, record []byte) {
	l.change(id, func(r *listedRoom) { r.open, r.community = true, community(record) })
}

func (l *roomList) edited(id string, record []byte) {
	l.change(id, func(r *listedRoom) { r.community = community(record) })
}

func (l *roomList) closed(id string) {
	l.change(id, func(r *listedRoom) { r.open = false; clear(r.here) })
}

func (l *roomList) destroyed(id string) {
	l.change(id, func(r *listedRoom) { r.open, r.made = false, false })
}

// lapsed takes off a room that is no more, unless somebody here has come to it since.
func (l *roomList) lapsed(id string) { l.change(id, func(r *listedRoom) { r.made = false }) }

func (l *roomList) entered(id, participant string) {
	l.change(id, func(r *listedRoom) { r.here[participant] = struct{}{} })
}

func (l *roomList) left(id, participant string) {
	l.change(id, func(r *listedRoom) { delete(r.here, participant) })
}

// unheld returns the rooms made here that nobody here has to do with: somebody else may have destroyed them since.
func (l *roomList) unheld() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for id, r := range l.rooms {
		if !r.open {
			all = append(all, id)
		}
	}
	return all
}

// freeze keeps the list as it is: what happens to rooms from now on happens because the node stops.
func (l *roomList) freeze() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frozen = true
}

// forgetPrior lets go of the rooms of earlier processes.
func (l *roomList) forgetPrior() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.prior, l.anew = nil, true
	select {
	case l.work <- struct{}{}:
	default:
	}
}

// run keeps the file until ctx ends. A disk that fails costs the list, and is logged.
func (l *roomList) run(ctx context.Context) error {
	w := &roomListWriter{roomList: l}
	defer w.close()
	w.write(false)
	clock := time.NewTicker(time.Second)
	defer clock.Stop()
	for {
		select {
		case <-ctx.Done():
			w.write(true)
			return nil
		case <-l.work:
			w.write(false)
		case <-clock.C:
			w.sync()
		}
	}
}

// roomListWriter writes the file. It is owned by run.
type roomListWriter struct {
	*roomList
	file    *os.File
	size    int64
	fresh   int64 // size when the file was written anew
	dirty   bool
	failing bool
}

// write writes what has changed, and at the end that it is the end.
func (w *roomListWriter) write(end bool) {
	w.mu.Lock()
	w.anew = w.anew || w.size > max(leastAnew, 4*w.fresh)
	anew := w.anew
	var text []byte
	if anew {
		for _, r := range w.prior {
			text = appendLine(text, r)
		}
		for id, r := range w.rooms {
			text = appendLine(text, r.line(id))
		}
	} else {
		for id := range w.changed {
			line := roomLine{Room: id, Gone: true}
			if r := w.rooms[id]; r != nil {
				line = r.line(id)
			}
			text = appendLine(text, line)
		}
	}
	clear(w.changed)
	w.anew = false
	w.mu.Unlock()
	if end {
		text = appendLine(text, roomLine{Stopped: true})
	}
	var err error
	if anew {
		err = w.replace(text)
	} else if len(text) > 0 {
		var n int
		n, err = w.file.Write(text)
		w.size += int64(n)
	}
	w.dirty = w.dirty || len(text) > 0
	w.note(err)
	if end {
		w.sync()
	}
}

func appendLine(b []byte, line roomLine) []byte {
	text, err := json.Marshal(line)
	if err != nil {
		return b // of a community that is no JSON, which no plugin has
	}
	return append(append(b, text...), '\n')
}

// replace puts a new file in the place of the old one.
func (w *roomListWriter) replace(text []byte) error {
	w.close()
	if err := os.MkdirAll(filepath.Dir(w.path), 0o700); err != nil {
		return err
	}
	name := w.path + ".new"
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync() // or a power cut could leave an empty file in place of the old one
	}
	if err == nil {
		err = os.Rename(name, w.path)
	}
	if err != nil {
		_ = f.Close()
		_ = os.Remove(name) // or it is overwritten
		return err
	}
	w.file, w.size, w.fresh = f, int64(len(text)), int64(len(text))
	return nil
}

// note has a file that could not be written be written anew, at the next second.
func (w *roomListWriter) note(err error) {
	was := w.failing
	w.failing = err != nil
	switch {
	case err != nil:
		w.mu.Lock()
		w.anew = true
		w.mu.Unlock()
		if !was {
			w.log.Warn("the list of rooms is not written; after a restart it would be out of date", "error", err)
		}
	case was:
		w.log.Info("the list of rooms is written again")
	}
}

// sync makes what was written survive a power cut, and tries again what failed.
func (w *roomListWriter) sync() {
	if w.failing {
		w.write(false)
	}
	if w.file == nil || !w.dirty {
		return
	}
	w.dirty = false
	w.note(w.file.Sync())
}

func (w *roomListWriter) close() {
	if w.file != nil {
		_ = w.file.Close() // synced, or replaced
		w.file = nil
	}
}

// roomsHad returns the list of the node's rooms, nil if nobody is told of them.
func (n *Node) roomsHad() *roomList {
	if n.eventPath == nil {
		return nil
	}
	return n.eventPath.list
}

// destroyedInterval is how often the mesh is asked whether rooms made here, in which nobody here is, are still there.
const destroyedInterval = 10 * time.Minute

// lookForDestroyed takes rooms off the list that were made here and destroyed elsewhere, until ctx ends.
func (n *Node) lookForDestroyed(ctx context.Context) {
	clock := time.NewTicker(destroyedInterval)
	defer clock.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-clock.C:
		}
		unheld := n.roomsHad().unheld()
		if len(unheld) == 0 {
			continue
		}
		all, err := n.mesh.Rooms().List(ctx, "")
		if err != nil {
			continue // a room that is not listed may be there
		}
		there := make(map[string]bool, len(all))
		for _, r := range all {
			there[r.ID] = true
		}
		for _, id := range unheld {
			if !there[id] {
				n.roomsHad().lapsed(id)
			}
		}
	}
}
