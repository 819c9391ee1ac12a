package store

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestRoomsSurvive(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, changes := range [][]Change{
		{{"a", []byte("one")}, {"b", []byte("two")}, {"c", []byte{}}},
		{{"a", []byte("uno")}, {"b", nil}, {"never", nil}},
		nil,
	} {
		if err := s.Save(changes); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Save([]Change{{"d", []byte("x")}, {"", []byte("no key")}}); err == nil {
		t.Error("a room without an id was kept")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(dir); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got := map[string]string{}
	if err := s.Rooms(func(room string, record []byte) error {
		got[room] = string(record)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{"a": "uno", "c": ""}; !reflect.DeepEqual(got, want) {
		t.Errorf("rooms: %v, want %v", got, want)
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

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	if err := Check(dir); err != nil {
		t.Errorf("nothing there: %v", err)
	}
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(dir); err != nil {
		t.Errorf("open elsewhere: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Check(dir); err != nil {
		t.Errorf("closed: %v", err)
	}
	path := filepath.Join(dir, File)
	if err := os.WriteFile(path, make([]byte, 64<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Check(dir); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("zeros: %v", err)
	}
}
