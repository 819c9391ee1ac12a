package store

import (
	"errors"
	"fmt"
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

// rooms is the bucket of permanent rooms: plugin, NUL, room id to the plugin's record.
var rooms = []byte("rooms")

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

// Close closes the store.
func (s *Store) Close() error { return s.db.Close() }

func key(plugin, room string) []byte { return []byte(plugin + "\x00" + room) }

// SaveRoom keeps a plugin's record of a room in place of what was kept of it.
func (s *Store) SaveRoom(plugin, room string, record []byte) error {
	err := s.db.Update(func(tx *bolt.Tx) error { return tx.Bucket(rooms).Put(key(plugin, room), record) })
	if err != nil {
		return fmt.Errorf("save room %s of %s: %w", room, plugin, err)
	}
	return nil
}

// DeleteRoom forgets a room; one that is not kept is no error.
func (s *Store) DeleteRoom(plugin, room string) error {
	err := s.db.Update(func(tx *bolt.Tx) error { return tx.Bucket(rooms).Delete(key(plugin, room)) })
	if err != nil {
		return fmt.Errorf("delete room %s of %s: %w", room, plugin, err)
	}
	return nil
}

// Rooms calls f with every record kept of a plugin. The record is valid during the call.
func (s *Store) Rooms(plugin string, f func(room string, record []byte) error) error {
	prefix := key(plugin, "")
	return s.db.View(func(tx *bolt.Tx) error {
		c := tx.Bucket(rooms).Cursor()
		for k, v := c.Seek(prefix); k != nil && len(k) >= len(prefix) && string(k[:len(prefix)]) == string(prefix); k, v = c.Next() {
			if err := f(string(k[len(prefix):]), v); err != nil {
				return fmt.Errorf("room %s of %s: %w", k[len(prefix):], plugin, err)
			}
		}
		return nil
	})
}
