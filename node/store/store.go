package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// File is the name of the store in the data directory.
const File = "cardea.db"

// lockTimeout is how long another process may take to let go of the file, as one that is just being stopped does.
const lockTimeout = 2 * time.Second

// rooms is the bucket of permanent rooms: id to record.
var rooms = []byte("records")

// ErrInUse says that another process has the store open.
var ErrInUse = errors.New("another node uses this data directory")

// Store is what a node keeps. It is safe for concurrent use. The zero Store is not open.
type Store struct{ db *bolt.DB }

// Open opens the store in a directory, and makes both if need be.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	path := filepath.Join(dir, File)
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: lockTimeout})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("open %s: %w", path, ErrInUse)
	case err != nil:
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(rooms)
		return err
	})
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("prepare %s: %w", path, err)
	}
	return &Store{db: db}, nil
}

// Check tells why the store in a directory, if there is one, cannot be opened. It writes nothing, and what another process has open is fine.
func Check(dir string) error {
	path := filepath.Join(dir, File)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: time.Millisecond})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil
	case err != nil:
		return fmt.Errorf("open %s: %w", path, err)
	}
	return db.Close()
}

// Close closes the store.
func (s *Store) Close() error { return s.db.Close() }

// Change is a room's record to be kept in place of what was kept of the room.
type Change struct {
	Room   string
	Record []byte // nil: forget the room
}

// Save makes changes, all or none.
func (s *Store) Save(changes []Change) error {
	err := s.db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket(rooms)
		for _, c := range changes {
			var err error
			if c.Record == nil {
				err = b.Delete([]byte(c.Room))
			} else {
				err = b.Put([]byte(c.Room), c.Record)
			}
			if err != nil {
				return fmt.Errorf("room %s: %w", c.Room, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("save rooms: %w", err)
	}
	return nil
}

// Rooms calls f with every record kept. The record is valid during the call.
func (s *Store) Rooms(f func(room string, record []byte) error) error {
	return s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(rooms).ForEach(func(k, v []byte) error { return f(string(k), v) })
	})
}
