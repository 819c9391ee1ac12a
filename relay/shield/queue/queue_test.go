package queue

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ms = int64(time.Millisecond)

func full(q *Queue, now int64) { q.tokens, q.filled = 1e6, now }

func TestMostUrgentFirst(t *testing.T) {
	q := New(8e6)
	for c := range classes {
		q.push([]byte{byte(classes - 1 - c)}, classes-1-c, 0)
		q.push([]byte{byte(classes - 1 - c)}, classes-1-c, 0)
	}
	buf := make([]byte, MaxPacket)
	for c := range classes {
		for range 2 {
			if n, _ := q.pop(buf, ms); n != 1 || Class(buf[0]) != c {
				t.Fatalf("%d bytes of class %d, want class %d", n, buf[0], c)
			}
		}
	}
	if n, wait := q.pop(buf, ms); n != 0 || wait != forever {
		t.Errorf("an empty queue gives %d bytes, or waits %v", n, wait)
	}
}

func TestLateIsDropped(t *testing.T) {
	for c := range classes {
		q := New(8e6)
		full(q, 0)
		wait := int64(bounds[c].wait)
		q.push([]byte{1}, c, 0)
		q.push([]byte{2}, c, 1)
		buf := make([]byte, MaxPacket)
		if n, _ := q.pop(buf, wait+1); n != 1 || buf[0] != 2 {
			t.Errorf("class %d: %d bytes of packet %d at its deadline", c, n, buf[0])
		}
		if st := q.Stats(c); st.Late != 1 || st.Sent != 1 || st.Bytes != 1 {
			t.Errorf("class %d: %+v", c, st)
		}
	}
}

func TestBounded(t *testing.T) {
	for c := range classes {
		q := New(8e6)
		for i := range 5000 {
			q.push([]byte{byte(i), byte(i >> 8)}, c, 0)
		}
		if n := q.Waiting(c); n != bounds[c].packets {
			t.Errorf("class %d: %d wait", c, n)
		}
		buf := make([]byte, MaxPacket)
		q.pop(buf, 0)
		if first := int(buf[0]) | int(buf[1])<<8; first != 5000-bounds[c].packets {
			t.Errorf("class %d: packet %d is first", c, first)
		}
		q.push(nil, c, 0)
		q.push(make([]byte, MaxPacket+1), c, 0)
		if st := q.Stats(c); st.Full != uint64(5000-bounds[c].packets)+2 {
			t.Errorf("class %d: %+v", c, st)
		}
	}
}

// At half the rate that is offered audio and the base layer are whole and the enhancements starve, and what leaves is no more than the budget.
func TestStarvesFromTheTop(t *testing.T) {
	q := New(4e6)
	buf := make([]byte, MaxPacket)
	bytes := 0
	for now := int64(0); now < 10_000*ms; now += ms {
		if now%(20*ms) == 0 {
			q.push(append([]byte{byte(Audio)}, make([]byte, 159)...), Audio, now)
		}
		if now%(5*ms) == 0 {
			q.push(append([]byte{byte(Base)}, make([]byte, 1249)...), Base, now)        // 2 Mbit/s
			q.push(make([]byte, 1250), Enhancement, now)                                // 6 Mbit/s
			q.push(append([]byte{byte(4)}, make([]byte, 1249)...), Enhancement, now)    //
			q.push(append([]byte{byte(4)}, make([]byte, 1249)...), Enhancement, now+ms) //
		}
		for {
			n, _ := q.pop(buf, now)
			if n == 0 {
				break
			}
			bytes += n
		}
	}
	if rate := bytes * 8 / 10; rate < 3.9e6 || rate > 4.1e6 {
		t.Errorf("%d bit/s of 4 Mbit/s", rate)
	}
	for c, want := range map[Class]uint64{Audio: 500, Base: 2000} {
		if st := q.Stats(c); st.Sent < want-1 || st.Late+st.Full > 0 {
			t.Errorf("class %d: %+v", c, st)
		}
	}
	if st := q.Stats(Enhancement); st.Late < 3000 || st.Sent < 1000 {
		t.Errorf("enhancements: %+v", st)
	}
}

// Audio does not wait for the budget of the video before it.
func TestAudioGoesAhead(t *testing.T) {
	q := New(1e6)
	buf := make([]byte, MaxPacket)
	for range 20 {
		q.push(make([]byte, 1400), Base, 0)
	}
	for {
		if n, _ := q.pop(buf, 10*ms); n == 0 {
			break
		}
	}
	q.push([]byte{7}, Audio, 10*ms)
	if n, _ := q.pop(buf, 10*ms); n != 1 || buf[0] != 7 {
		t.Error("audio waits behind video that waits for the budget")
	}
	for i := 0; ; i++ {
		q.push(make([]byte, 1400), Feedback, 10*ms)
		if n, _ := q.pop(buf, 10*ms); n == 0 {
			break
		}
		if i > 10 {
			t.Fatal("feedback knows no limit")
		}
	}
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(1)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		got := 0
		go func() {
			done <- q.Run(ctx, func(p []byte) error { got += len(p); return nil }, func() int { return 8e6 })
		}()
		for range 1000 {
			q.Push(make([]byte, 1000), Base)
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		if got < 970e3 {
			t.Errorf("%d of a million bytes sent in a second at 8 Mbit/s", got)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run returns %v", err)
		}
		broken := errors.New("broken")
		q.Push([]byte{1}, Audio)
		if err := q.Run(context.Background(), func([]byte) error { return broken }, func() int { return 8e6 }); !errors.Is(err, broken) {
			t.Errorf("Run returns %v", err)
		}
	})
}

func BenchmarkQueue(b *testing.B) {
	q := New(1e9)
	p, buf := make([]byte, 1250), make([]byte, MaxPacket)
	now := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		now += ms
		q.push(p, Base, now)
		q.pop(buf, now)
	}
}
