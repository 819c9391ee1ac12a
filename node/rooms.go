package node

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"cardea/node/store"
	"cardea/signaling/videoroom"
)

// keeper opens the store when something is to be kept: a node that keeps nothing needs no data directory.
type keeper struct {
	dir string

	mu    sync.Mutex
	store *store.Store
}

func (k *keeper) open() (*store.Store, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.store != nil {
		return k.store, nil
	}
	s, err := store.Open(k.dir)
	if err != nil {
		return nil, err
	}
	k.store = s
	return s, nil
}

func (k *keeper) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.store != nil {
		_ = k.store.Close() // everything confirmed is on disk already
		k.store = nil
	}
}

// exists tells whether an earlier run has kept anything.
func (k *keeper) exists() bool {
	_, err := os.Stat(filepath.Join(k.dir, store.File))
	return err == nil
}

// save keeps a permanent room.
func (k *keeper) save(r videoroom.Record) error {
	s, err := k.open()
	if err != nil {
		return err
	}
	record, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode room %s: %w", r.ID, err)
	}
	return s.SaveRoom(videoroom.Package, r.ID, record)
}

// forget deletes a permanent room.
func (k *keeper) forget(id string) error {
	if !k.exists() {
		return nil
	}
	s, err := k.open()
	if err != nil {
		return err
	}
	return s.DeleteRoom(videoroom.Package, id)
}

// merge returns the configured rooms with those kept from earlier runs, which win: they were edited since.
func (k *keeper) merge(configured []videoroom.RoomConfig) ([]videoroom.RoomConfig, error) {
	if !k.exists() {
		return configured, nil
	}
	s, err := k.open()
	if err != nil {
		return nil, err
	}
	merged := slices.Clone(configured)
	err = s.Rooms(videoroom.Package, func(id string, record []byte) error {
		r := videoroom.DefaultRoom(id)
		if err := json.Unmarshal(record, &r); err != nil {
			return err
		}
		merged = slices.DeleteFunc(merged, func(c videoroom.RoomConfig) bool { return c.ID == id })
		merged = append(merged, r)
		return nil
	})
	return merged, err
}
