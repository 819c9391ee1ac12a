package quality

import (
	"fmt"
	"testing"
	"time"
	"unsafe"

	"cardea/relay/plane"
)

func report(room, who string, handle uint64, stalls int) *Report {
	return &Report{
		Room: room, Participant: who, Session: 1, Handle: handle,
		Quality: plane.Quality{
			SentRate: 1000, ReceivedRate: 2000,
			Lines: []plane.LineQuality{{Mid: "0", Kind: plane.Video, Sending: true, Stalls: stalls}, {Mid: "1", Kind: plane.Audio}},
		},
	}
}

func TestBoard(t *testing.T) {
	b := NewBoard()
	now := time.Unix(1_800_000_000, 0)
	for i := range Steps + 5 {
		b.Add(now, report("videoroom/1", "alice", 1, i))
		now = now.Add(10 * time.Second)
	}
	b.Add(now, report("videoroom/1", "bob", 2, 0))
	b.Add(now, report("videoroom/2", "alice", 3, 0))
	lines := b.Room(now, "videoroom/1", "")
	if len(lines) != 4 || lines[0].Participant != "alice" || lines[2].Participant != "bob" {
		t.Fatalf("%+v", lines)
	}
	video := lines[0]
	if len(video.Points) != Steps || video.Points[0].Figures.Stalls != 5 || video.Points[Steps-1].Figures.Stalls != Steps+4 {
		t.Errorf("%d points, from %+v", len(video.Points), video.Points[0])
	}
	if video.Points[0].Rate != 1000 || lines[1].Points[0].Rate != 2000 {
		t.Error("rates are of the other direction")
	}
	video.Points[0].Figures.Stalls = -1
	if b.Room(now, "videoroom/1", "alice")[0].Points[0].Figures.Stalls == -1 {
		t.Error("the caller can change what is kept")
	}
	now = now.Add(keepTime + time.Second)
	if lines := b.Room(now, "videoroom/1", ""); len(lines) != 0 {
		t.Errorf("%d lines of the past", len(lines))
	}
	b.Add(now, report("videoroom/3", "carol", 4, 0))
	if b.Lines() != 2 || len(b.rooms) != 1 {
		t.Errorf("%d lines in %d rooms are kept", b.Lines(), len(b.rooms))
	}
}

func TestBoardIsBounded(t *testing.T) {
	b := NewBoard()
	now := time.Unix(1_800_000_000, 0)
	for i := range uint64(maxRoomLines) {
		b.Add(now, report("videoroom/1", fmt.Sprint(i), i, 0))
	}
	if b.Lines() != maxRoomLines || b.Refused() != maxRoomLines {
		t.Errorf("%d lines, %d refused", b.Lines(), b.Refused())
	}
	for i := range uint64(maxBoardLines) {
		b.Add(now, report(fmt.Sprint("videoroom/x", i), "", i, 0))
	}
	if b.Lines() != maxBoardLines {
		t.Errorf("%d lines", b.Lines())
	}
	const most = 140 << 20 // bytes, as the bounds' comment has it
	if full := maxBoardLines * (unsafe.Sizeof(Line{}) + Steps*unsafe.Sizeof(Point{})); full > most {
		t.Errorf("full, it takes %d bytes", full)
	}
}
