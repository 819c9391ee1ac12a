package store

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func kept(t *testing.T, s *Store, plugin string) map[string]string {
	t.Helper()
	got := map[string]string{}
	if err := s.Rooms(plugin, func(room string, record []byte) error {
		got[room] = string(record)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestRoomsSurvive(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []struct{ plugin, room, record string }{
		{"a", "1", "one"}, {"a", "2", "two"}, {"a", "1", "uno"}, {"b", "1", "other"}, {"a2", "x", "prefix"},
	} {
		if err := s.SaveRoom(w.plugin, w.room, []byte(w.record)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.DeleteRoom("a", "2"), s.DeleteRoom("a", "never"), s.Close()); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(dir); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got, want := kept(t, s, "a"), map[string]string{"1": "uno"}; !reflect.DeepEqual(got, want) {
		t.Errorf("rooms of a: %v, want %v", got, want)
	}
	if got, want := kept(t, s, "b"), map[string]string{"1": "other"}; !reflect.DeepEqual(got, want) {
		t.Errorf("rooms of b: %v, want %v", got, want)
	}
	info, err := os.Stat(filepath.Join(dir, File))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v: secrets of rooms are in it", info.Mode().Perm())
	}
}

func TestOneNodePerDirectory(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := Open(dir); !errors.Is(err, ErrInUse) {
		t.Errorf("second open: %v, want ErrInUse", err)
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, File), []byte("rubbish that is no database, and long enough to be read as one"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil {
		t.Error("rubbish was opened")
	}
	if _, err := Open(filepath.Join(dir, File, "below-a-file")); err == nil {
		t.Error("a directory below a file was made")
	}
}
