package node

import (
	"os"
	"path/filepath"
	"testing"

	"cardea/signaling/videoroom"
)

func TestPermanentRoomsWinOverConfiguredOnes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	k := &keeper{dir: dir}
	configured := []videoroom.RoomConfig{videoroom.DefaultRoom("1"), videoroom.DefaultRoom("2")}
	if got, err := k.merge(configured); err != nil || len(got) != 2 {
		t.Fatalf("with nothing kept: %v, %v", got, err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("looking for rooms made the data directory")
	}
	edited := videoroom.DefaultRoom("2")
	edited.Description = "edited"
	for _, r := range []videoroom.Record{edited, videoroom.DefaultRoom("3"), videoroom.DefaultRoom("4")} {
		if err := k.save(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.forget("4"); err != nil {
		t.Fatal(err)
	}
	k.close()

	k = &keeper{dir: dir}
	defer k.close()
	got, err := k.merge(configured)
	if err != nil {
		t.Fatal(err)
	}
	described := map[string]string{}
	for _, r := range got {
		described[r.ID] = r.Description
	}
	if len(got) != 3 || described["2"] != "edited" || described["1"] == "" || described["3"] == "" {
		t.Errorf("rooms after a restart: %v", described)
	}
}
