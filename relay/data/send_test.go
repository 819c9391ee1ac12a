package data

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/sctp"
)

func pipe() (a, b net.Conn) { return net.Pipe() }

// gate holds up a handler until it is open.
type gate struct{ open atomic.Bool }

func (g *gate) wait(*Channel, []byte, bool) {
	for !g.open.Load() {
		time.Sleep(100 * time.Millisecond) // of a bubble's time
	}
}

func TestSendRefuses(t *testing.T) {
	bubble(t, Config{PeerMaxMessage: 10, Queue: 1000}, Config{}, func(t *testing.T, client, server *end) {
		long := strings.Repeat("x", MaxName+1)
		for _, tt := range []struct {
			m    Message
			want error
		}{
			{Message{Data: make([]byte, 11)}, ErrTooLarge},
			{Message{Label: long}, ErrName},
			{Message{Protocol: long}, ErrName},
			{Message{Data: make([]byte, 10)}, nil},
		} {
			if err := client.Send(tt.m); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		}
		client.Close()
		if err := client.Send(Message{}); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// A peer that takes nothing costs the queue, what SCTP may hold, and nobody's time.
func TestSlowPeer(t *testing.T) {
	const size = 1000
	var g gate
	stuck := Config{OnMessage: g.wait}
	bubble(t, Config{Queue: 100_000, Buffered: 50_000}, stuck, func(t *testing.T, client, server *end) {
		full := 0
		for range 2000 {
			switch err := client.Send(Message{Label: "x", Data: make([]byte, size)}); {
			case errors.Is(err, ErrFull):
				full++
			case err != nil:
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		s := client.Stats()
		if full == 0 || s.Dropped != uint64(full) || s.Queued > 100_000 || s.Queued < 90_000 {
			t.Errorf("%d refused, %+v", full, s)
		}
		if held := client.sctp.BufferedAmount(); held > 50_000+size+100 {
			t.Errorf("SCTP holds %d bytes", held)
		}
		g.open.Store(true)
		time.Sleep(time.Minute)
		if got := len(server.take()); got != 2000-full {
			t.Errorf("%d messages came, want %d", got, 2000-full)
		}
		if s := client.Stats(); s.Queued != 0 || s.Dropped != uint64(full) {
			t.Errorf("in the end %+v", s)
		}
	})
}

// Small messages are bounded by number, over many writers: each Send may start a new one.
func TestSlowPeerSmallMessages(t *testing.T) {
	var g gate
	stuck := Config{ReceiveBuffer: 1500, MaxMessage: 100, OnMessage: g.wait}
	bubble(t, Config{}, stuck, func(t *testing.T, client, server *end) {
		for range 6000 {
			if err := client.Send(Message{Label: "x", Data: []byte{1}}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if held := client.sctp.BufferedAmount(); held > maxBufferedMessages+100 {
			t.Errorf("SCTP holds %d messages", held)
		}
		g.open.Store(true)
		time.Sleep(time.Minute)
		if got := len(server.take()); got != 6000 {
			t.Errorf("%d messages came", got)
		}
	})
}

// Many streams, each below its own threshold, together over the limit: nothing tells of room, and yet all arrives.
func TestManyChannelsShareTheBuffer(t *testing.T) {
	bubble(t, Config{Buffered: 20_000}, Config{}, func(t *testing.T, client, server *end) {
		for i := range 1000 {
			if err := client.Send(Message{Label: fmt.Sprint(i % 100), Data: make([]byte, 700)}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		if got := len(server.take()); got != 1000 {
			t.Errorf("%d messages came", got)
		}
	})
}

func TestLossIsRepaired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe()
		n := 0
		dropping := &lossy{Conn: a, drop: func([]byte) bool { n++; return n%7 == 0 }}
		client, server := newEnd(dropping, Config{Client: true}), newEnd(b, Config{})
		var want []received
		for i := range 200 {
			data := bytes.Repeat([]byte{byte(i)}, 10*i)
			want = append(want, received{"x", string(data), false})
			if err := client.Send(Message{Label: "x", Data: data}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Minute)
		if diff := cmp.Diff(want, server.take()); diff != "" {
			t.Error(diff)
		}
		client.close()
		server.close()
	})
}

// While the line is dead messages of a short life are given up, in the queue as in SCTP; reliable ones are not.
func TestLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe()
		var dead atomic.Bool
		line := &lossy{Conn: a, drop: func([]byte) bool { return dead.Load() }}
		client, server := newEnd(line, Config{Client: true, Buffered: 2000}), newEnd(b, Config{})
		send := func(label string, r Reliability, n int) {
			for i := range n {
				if err := client.Send(Message{Label: label, Reliability: r, Data: bytes.Repeat([]byte{byte(i)}, 1000)}); err != nil {
					t.Fatal(err)
				}
			}
		}
		timed := Reliability{Unordered: true, Partial: Lifetime, Limit: 300}
		send("sure", Reliability{}, 1)
		send("timed", timed, 1)
		time.Sleep(time.Second)
		server.take()
		dead.Store(true)
		send("timed", timed, 20)
		send("sure", Reliability{}, 20)
		time.Sleep(5 * time.Second)
		dead.Store(false)
		time.Sleep(time.Minute)
		count := map[string]int{}
		for _, m := range server.take() {
			count[m.Label]++
		}
		if count["sure"] != 20 || count["timed"] > 3 {
			t.Errorf("came: %v", count)
		}
		if got := client.Stats().Dropped; got < 15 {
			t.Errorf("%d messages dropped in the queue", got)
		}
		client.close()
		server.close()
	})
}

func TestIDsGoRound(t *testing.T) {
	for _, client := range []bool{true, false} {
		a := &Association{cfg: Config{Client: client}, channels: map[uint16]*Channel{}}
		a.lastID = a.firstID() - 2
		seen := map[uint16]bool{}
		for range MaxChannels - 1 {
			id, ok := a.freeID("x")
			if !ok || seen[id] || id >= MaxStreams || (id%2 == 0) != client || id == 0 {
				t.Fatalf("client %v: id %d, %v", client, id, ok)
			}
			seen[id] = true
		}
		a.channels[a.firstID()] = &Channel{}
		if id, _ := a.freeID("x"); client && id != 4 {
			t.Errorf("client: id %d in use or far", id)
		}
		if id, _ := a.freeID(DefaultLabel); client && id != 0 {
			t.Errorf("default label on stream %d", id)
		}
	}
}

func TestBacklog(t *testing.T) {
	var b backlog
	for _, n := range []int{10, 20, 30} {
		b.add(n)
	}
	for _, tt := range []struct{ held, want int }{{60, 3}, {55, 3}, {50, 2}, {31, 2}, {30, 1}, {1, 1}, {0, 0}, {0, 0}} {
		if got := b.messages(tt.held); got != tt.want {
			t.Errorf("%d bytes held: %d messages, want %d", tt.held, got, tt.want)
		}
	}
}

func TestEnds(t *testing.T) {
	t.Run("connection lost", func(t *testing.T) {
		bubble(t, Config{}, Config{}, func(t *testing.T, client, server *end) {
			if err := client.Send(Message{Label: "x"}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			_ = client.conn.Close()
			synctest.Wait()
			_, closed := server.openings()
			_, ours := client.state()
			_, theirs := server.state()
			if ours == nil || theirs == nil || len(closed) != 1 {
				t.Errorf("ends: %v, %v; %d channels closed", ours, theirs, len(closed))
			}
			if err := server.Send(Message{Label: "x"}); !errors.Is(err, ErrClosed) {
				t.Errorf("sending then: %v", err)
			}
		})
	})
	t.Run("aborted, connection drained", func(t *testing.T) {
		foreign(t, Config{}, func(t *testing.T, e *end, theirs *sctp.Association) {
			theirs.Abort("enough")
			time.Sleep(time.Second)
			if _, err := e.state(); err == nil {
				t.Error("the end was not noticed")
			}
		})
		synctest.Test(t, func(t *testing.T) {
			a, b := pipe()
			client, server := newEnd(a, Config{Client: true}), newEnd(b, Config{})
			synctest.Wait()
			server.Close() // lets go of b
			client.sctp.Abort("enough")
			synctest.Wait()
			_ = b.SetDeadline(time.Time{})
			for range 10 { // a pipe takes a write only when somebody reads
				if _, err := b.Write([]byte("late")); err != nil {
					t.Fatal(err)
				}
			}
			client.close()
			server.close()
		})
	})
	t.Run("never established", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b := pipe()
			e := newEnd(&lossy{Conn: a, drop: func([]byte) bool { return true }}, Config{})
			time.Sleep(time.Hour)
			if ready, err := e.state(); err == nil || ready != 0 {
				t.Errorf("ready %d times, %v", ready, err)
			}
			e.close()
			_ = b.Close()
		})
	})
	t.Run("closed while connecting", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b := pipe()
			e := newEnd(a, Config{})
			e.Close()
			e.close()
			if ready, err := e.state(); err != nil || ready != 0 {
				t.Errorf("handlers ran: %d, %v", ready, err)
			}
			_ = b.Close()
			time.Sleep(time.Hour) // for timers of SCTP that end by themselves
		})
	})
	t.Run("closed in the middle", func(t *testing.T) {
		bubble(t, Config{}, Config{}, func(t *testing.T, client, server *end) {
			for range 500 {
				if err := client.Send(Message{Label: "x", Data: make([]byte, 1500)}); err != nil {
					t.Fatal(err)
				}
			}
			client.Close()
			if s := client.Stats(); s.Queued != 0 || s.MessagesSent+s.Dropped != 500 {
				t.Errorf("%+v", s)
			}
			if _, err := client.state(); err != nil {
				t.Errorf("told of an end we made: %v", err)
			}
		})
	})
}
