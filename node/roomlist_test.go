package node

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"cardea/signaling/events"
	"cardea/signaling/events/spool"
)

// runList runs a list until stop is called.
func runList(t *testing.T, l *roomList) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := l.run(ctx); err != nil {
			t.Error(err)
		}
	})
	return func() { cancel(); running.Wait() }
}

// told returns what a list tells of the process before, in short.
func told(l *roomList) string {
	text := l.ended
	for _, r := range l.prior {
		text += fmt.Sprintf(" %s:%d%s", r.Room, r.Participants, r.Community)
	}
	return text
}

func TestRoomList(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events", roomListFile)
	synctest.Test(t, func(t *testing.T) {
		l := loadRoomList(path, quiet())
		want := func(what, want string) {
			t.Helper()
			synctest.Wait() // what was changed is written
			if got := told(loadRoomList(path, quiet())); got != want {
				t.Errorf("%s: %q, want %q", what, got, want)
			}
		}
		want("nothing", "first start")
		stop := runList(t, l)
		l.made("videoroom/1", []byte(`{"community_id":"c"}`))
		l.opened("videoroom/2", []byte(`{}`))
		l.entered("videoroom/2", "a")
		l.entered("videoroom/2", "b")
		want("rooms", `crashed videoroom/1:0"c" videoroom/2:2`)
		l.left("videoroom/2", "a")
		l.left("videoroom/2", "nobody")
		l.edited("videoroom/2", []byte(`{"community_id":7}`))
		l.opened("videoroom/1", []byte(`{"community_id":"c"}`))
		l.entered("videoroom/1", "x")
		l.closed("videoroom/1")
		want("one that was made here stays", `crashed videoroom/1:0"c" videoroom/2:17`)
		l.closed("videoroom/2")
		l.destroyed("videoroom/1")
		l.closed("videoroom/1") // as the plugin does afterwards
		l.left("videoroom/9", "a")
		want("all are gone", "crashed")
		l.made("videoroom/3", nil)
		l.freeze()
		l.destroyed("videoroom/3")
		stop()
		want("stopped", "stopped videoroom/3:0")

		// Until everybody was told, the rooms of earlier processes are kept.
		l = loadRoomList(path, quiet())
		stop = runList(t, l)
		l.made("videoroom/4", nil)
		want("killed before it was told", "crashed videoroom/3:0 videoroom/4:0")
		l.forgetPrior()
		want("killed after it was told", "crashed videoroom/4:0")
		stop()
	})
}

// TestRoomListDamaged reads what a crash and worse may leave behind.
func TestRoomListDamaged(t *testing.T) {
	const good = `{"room":"videoroom/1","participants":2}` + "\n"
	for text, want := range map[string]string{
		"":                                    "crashed",
		good + `{"room":"videoroom/2","parti`: "crashed videoroom/1:2",
		"rubbish\n" + good + "\x00\x00\x00\n": "crashed videoroom/1:2",
		good + `{"stopped":true}` + "\n":      "stopped videoroom/1:2",
		good + `{"room":"videoroom/1","gone":true}` + "\n" + good + "{}\n[]\n1\n": "crashed videoroom/1:2",
	} {
		path := filepath.Join(t.TempDir(), roomListFile)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := told(loadRoomList(path, quiet())); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if got := told(loadRoomList(t.TempDir(), quiet())); got != "unknown" {
		t.Errorf("a directory: %q", got)
	}
}

func FuzzRoomList(f *testing.F) {
	f.Add([]byte(`{"room":"videoroom/1","participants":2}` + "\n" + `{"stopped":true}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		rooms, ended, _ := readRoomList(bufio.NewScanner(bytes.NewReader(b)))
		for _, r := range rooms {
			if r.Room == "" || r.Gone {
				t.Errorf("room: %+v", r)
			}
		}
		if ended != endedCrashed && ended != endedStopped {
			t.Errorf("ended: %q", ended)
		}
	})
}

// TestRoomListAnew wants the file to stay short however often rooms change, and to come back when the disk does.
func TestRoomListAnew(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "events", roomListFile)
	if err := os.WriteFile(filepath.Join(dir, "events"), nil, 0o600); err != nil { // in the directory's way
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		l := loadRoomList(path, quiet())
		stop := runList(t, l)
		defer stop()
		l.made("videoroom/1", nil)
		time.Sleep(5 * time.Second)
		if err := os.Remove(filepath.Join(dir, "events")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if got := told(loadRoomList(path, quiet())); got != "crashed videoroom/1:0" {
			t.Errorf("after the disk came back: %q", got)
		}
		for i := range 2500 {
			l.opened("videoroom/2", []byte(`{"community_id":"`+strings.Repeat("x", 500)+`"}`))
			l.entered("videoroom/2", fmt.Sprint(i))
			synctest.Wait()
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > leastAnew+100_000 {
			t.Errorf("%d bytes for two rooms", info.Size())
		}
	})
}

// TestRoomListParts tells of many rooms in several events.
func TestRoomListParts(t *testing.T) {
	l := &roomList{ended: endedCrashed, log: quiet(), numbers: true}
	for i := range roomsPerEvent + 1 {
		l.prior = append(l.prior, roomLine{Room: fmt.Sprintf("videoroom/%d", i)})
	}
	l.prior[0].Room = "videoroom/a name"
	s, err := spool.Open(spool.Config{})
	if err != nil {
		t.Fatal(err)
	}
	all := l.first(events.New(events.Config{Emitter: "n"}), s, time.UnixMicro(5))
	if len(all) != 2 || len(all[0].Value) > spool.MaxValue {
		t.Fatalf("%d events", len(all))
	}
	want := `{"emitter":"n","type":512,"timestamp":5,"TGG_USER_EVENT":{"event":"room_list","ended":"crashed","part":2,"parts":2,"rooms":[{"plugin":"videoroom","room":2000,"participants":0}]}}`
	if d := cmp.Diff(want, string(all[1].Value)); d != "" {
		t.Error(d)
	}
	if !bytes.Contains(all[0].Value, []byte(`"room":"a name"`)) {
		t.Errorf("a name: %.200s", all[0].Value)
	}

	// Long names make events longer, which few may take; and what no community is spoils none but its own room.
	l.prior, l.numbers = nil, false
	for i := range 2000 {
		l.prior = append(l.prior, roomLine{Room: fmt.Sprintf("videoroom/%0500d", i)})
	}
	l.prior[7].Community = []byte("{")
	rooms := 0
	for _, e := range l.first(events.New(events.Config{}), s, time.UnixMicro(5)) {
		rooms += bytes.Count(e.Value, []byte(`"participants"`))
		if len(e.Value) > roomBytesPerEvent+1000 {
			t.Errorf("%d bytes", len(e.Value))
		}
	}
	if rooms != 1999 {
		t.Errorf("%d rooms", rooms)
	}
}
