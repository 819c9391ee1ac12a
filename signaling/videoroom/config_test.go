package videoroom

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cardea/signaling/janus"
)

func TestConfiguredRooms(t *testing.T) {
	bad := map[string]func(*Config){
		"id of the wrong kind": func(c *Config) { c.Rooms = []RoomConfig{DefaultRoom("x")} },
		"id zero":              func(c *Config) { c.Rooms = []RoomConfig{DefaultRoom("0")} },
		"the same id twice":    func(c *Config) { c.Rooms = []RoomConfig{DefaultRoom("1"), DefaultRoom("01")} },
		"unknown codec": func(c *Config) {
			r := DefaultRoom("1")
			r.VideoCodecs = []string{"theora"}
			c.Rooms = []RoomConfig{r}
		},
		"negative publishers": func(c *Config) {
			r := DefaultRoom("1")
			r.Publishers = -1
			c.Rooms = []RoomConfig{r}
		},
		"empty string id": func(c *Config) { c.StringIDs, c.Rooms = true, []RoomConfig{DefaultRoom("")} },
	}
	for name, f := range bad {
		var c Config
		f(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	p, err := New(Config{Rooms: []RoomConfig{DefaultRoom("1"), DefaultRoom("18446744073709551615")}})
	if err != nil || p.RoomCount() != 2 {
		t.Fatalf("%v, %d rooms", err, p.RoomCount())
	}
}

// request calls a synchronous request.
func request(t *testing.T, p *Plugin, body string) object {
	t.Helper()
	l, err := janus.Parse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return p.Admin(context.Background(), l[0]).(object)
}

// What is stored of a room makes the same room again.
func TestStoredRoomsComeBack(t *testing.T) {
	kept := map[string]Record{}
	fail := false
	store := Store{
		Save: func(r Record) error {
			if fail {
				return errors.New("disk full")
			}
			kept[r.ID] = r
			return nil
		},
		Delete: func(id string) error {
			delete(kept, id)
			return nil
		},
	}
	p, err := New(Config{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	request(t, p, `{"request":"create","room":5,"permanent":true,"secret":"s","allowed":["b","a"],"pin":"","rec_dir":"d","community_id":7,
		"videocodec":"vp9,h264","h264_profile":"42e01f","dummy_publisher":true,"dummy_streams":[{"codec":"vp9"}],"opus_dtx":true,"notify_joining":true}`)
	request(t, p, `{"request":"allowed","room":5,"secret":"s","action":"add","allowed":["c"]}`)
	if d := request(t, p, `{"request":"edit","room":5,"secret":"s","permanent":true,"new_publishers":8,"new_pin":"p"}`); d["permanent"] != true {
		t.Fatalf("edit: %v", d)
	}
	text, err := json.Marshal(kept["5"])
	if err != nil {
		t.Fatal(err)
	}
	var back Record
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	again, err := New(Config{Store: store, Rooms: []RoomConfig{back}})
	if err != nil {
		t.Fatal(err)
	}
	was, is := p.find(numberID(5)), again.find(numberID(5))
	if d := cmp.Diff(was.record(), is.record()); d != "" {
		t.Errorf("-was +is\n%s", d)
	}
	if is.cfg.Publishers != 8 || *is.cfg.Pin != "p" || len(is.allowed) != 3 || !is.cfg.CheckAllowed || len(is.members) != 1 {
		t.Errorf("came back as %+v", is.cfg)
	}
	fail = true
	if d := request(t, p, `{"request":"edit","room":5,"secret":"s","permanent":true}`); d["permanent"] != false {
		t.Errorf("edit that is not stored: %v", d)
	}
	if d := request(t, p, `{"request":"destroy","room":5,"secret":"s","permanent":true}`); d["permanent"] != true || len(kept) != 0 {
		t.Errorf("destroy: %v, kept %v", d, kept)
	}
}

func TestIDs(t *testing.T) {
	for want, id := range map[string]ID{`5`: numberID(5), `18446744073709551615`: numberID(1<<64 - 1), `"5"`: textID("5"), `"\"x"`: textID(`"x`)} {
		if b, err := json.Marshal(id); err != nil || string(b) != want {
			t.Errorf("%s, %v, want %s", b, err, want)
		}
	}
	if numberID(5) == textID("5") {
		t.Error("the integer 5 and the text 5 are the same")
	}
	for _, k := range []ids{{}, {strings: true}} {
		seen := map[ID]bool{}
		for range 100 {
			id := k.random(func(id ID) bool { return seen[id] })
			if seen[id] || id.number >= 1<<53 || k.strings && len(id.text) != 36 {
				t.Fatalf("random id %v", id)
			}
			seen[id] = true
		}
	}
	for f, want := range map[real]string{5: "5.0", 0.25: "0.25", 0: "0.0"} {
		if b, _ := json.Marshal(f); string(b) != want {
			t.Errorf("%s, want %s", b, want)
		}
	}
}

func BenchmarkListThousandsOfRooms(b *testing.B) {
	p, err := New(Config{})
	if err != nil {
		b.Fatal(err)
	}
	for i := range 5000 {
		cfg := DefaultRoom(numberID(uint64(i + 1)).String())
		p.insert(numberID(uint64(i+1)), cfg)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.list(context.Background(), janus.Object{}); err != nil {
			b.Fatal(err)
		}
	}
}
