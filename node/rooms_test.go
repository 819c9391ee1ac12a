package node

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"cardea/mesh/room"
)

func TestKeeper(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	k := &keeper{dir: dir}
	read := func() map[string]string {
		got := map[string]string{}
		if err := k.load(func(id string, record []byte) error { got[id] = string(record); return nil }); err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := read(); len(got) != 0 {
		t.Errorf("with nothing kept: %v", got)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("looking for rooms made the data directory")
	}
	if err := k.save([]room.Change{{ID: "videoroom/1", Record: []byte("a")}, {ID: "videoroom/2", Record: []byte("b")}}); err != nil {
		t.Fatal(err)
	}
	if err := k.save([]room.Change{{ID: "videoroom/2"}}); err != nil {
		t.Fatal(err)
	}
	k.close()
	k = &keeper{dir: dir}
	defer k.close()
	if got, want := read(), map[string]string{"videoroom/1": "a"}; !maps.Equal(got, want) {
		t.Errorf("after a restart: %v, want %v", got, want)
	}
}
