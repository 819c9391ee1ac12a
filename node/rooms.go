package node

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"cardea/mesh/room"
	"cardea/node/store"
)

// keeper opens the store when something is to be kept: a node that keeps nothing needs no data directory.
type keeper struct {
	dir string

	mu   sync.Mutex
	file *store.Store
}

func (k *keeper) open() (*store.Store, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.file != nil {
		return k.file, nil
	}
	s, err := store.Open(k.dir)
	if err != nil {
		return nil, err
	}
	k.file = s
	return s, nil
}

func (k *keeper) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.file != nil {
		_ = k.file.Close() // everything confirmed is on disk already
		k.file = nil
	}
}

// store returns the store as rooms use it.
func (k *keeper) store() room.Store { return room.Store{Save: k.save, Load: k.load} }

func (k *keeper) save(changes []room.Change) error {
	s, err := k.open()
	if err != nil {
		return err
	}
	kept := make([]store.Change, 0, len(changes))
	for _, c := range changes {
		kept = append(kept, store.Change{Room: c.ID, Record: c.Record})
	}
	return s.Save(kept)
}

// load reads what earlier runs have kept, if any did.
func (k *keeper) load(f func(id string, record []byte) error) error {
	if _, err := os.Stat(filepath.Join(k.dir, store.File)); os.IsNotExist(err) {
		return nil
	} else if err != nil {
		return fmt.Errorf("look for kept rooms: %w", err)
	}
	s, err := k.open()
	if err != nil {
		return err
	}
	return s.Rooms(f)
}
