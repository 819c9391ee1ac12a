package node

import (
	"bufio"
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
	"time"
)

const (
	// maxRoomList bounds what is read of the file.
	maxRoomList = 256 << 20
	// leastAnew is the length from which on the file is written anew when most of it is out of date.
	leastAnew = 1 << 20
)

// roomLine is a line of the file.
type roomLine struct {
	Room         string          `json:"room,omitempty"`
	Community    json.RawMessage `json:"community_id,omitempty"`
	Participants int             `json:"participants,omitempty"`
	Gone         bool            `json:"gone,omitempty"`
	Stopped      bool            `json:"stopped,omitempty"` // the last line of a process that stopped cleanly
}

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

// run keeps the file until ctx ends. A disk that fails costs the list, and is logged.
func (l *roomList) run(ctx context.Context) error {
	w := &roomListWriter{roomList: l, synced: make(chan error, 1)}
	defer w.close()
	w.write(false)
	clock := time.NewTicker(time.Second)
	defer clock.Stop()
	for {
		select {
		case <-ctx.Done():
			if w.syncing {
				w.settle(<-w.synced)
			}
			w.write(true)
			return nil
		case <-l.work:
			w.write(false)
		case <-clock.C:
			w.sync()
		case err := <-w.synced:
			w.settle(err)
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
	syncing bool       // aside: writes go on, lest a kill -9 meanwhile take what they write
	synced  chan error // what came of it
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
	if end && w.file != nil {
		w.note(w.file.Sync())
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
	if d, err := os.Open(filepath.Dir(w.path)); err == nil {
		_ = d.Sync() // or a power cut may bring the old one back, which is no worse than that
		_ = d.Close()
	}
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
	if w.file == nil || !w.dirty || w.syncing {
		return
	}
	w.dirty, w.syncing = false, true
	go func(f *os.File) { w.synced <- f.Sync() }(w.file) // run waits for it
}

// settle notes what came of a sync.
func (w *roomListWriter) settle(err error) {
	w.syncing = false
	if err != nil && !errors.Is(err, os.ErrClosed) { // the file was replaced, which syncs
		w.note(err)
	}
}

func (w *roomListWriter) close() {
	if w.file != nil {
		_ = w.file.Close() // synced, or replaced
		w.file = nil
	}
}
