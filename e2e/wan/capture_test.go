package wan

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestCapture(t *testing.T) {
	var file bytes.Buffer
	epoch := time.Unix(1_700_000_000, 900_000_000)
	c, err := startCapture(&file, epoch)
	if err != nil {
		t.Fatal(err)
	}
	c.add(200*time.Millisecond+7, []byte("first"))
	c.add(time.Second, []byte("second!"))
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	c.add(2*time.Second, []byte("too late"))
	words := func(v ...uint32) (b []byte) {
		for _, w := range v {
			b = binary.LittleEndian.AppendUint32(b, w)
		}
		return b
	}
	want := words(0xa1b23c4d, 2|4<<16, 0, 0, 65535, 101)
	want = append(append(want, words(1_700_000_001, 100_000_007, 5, 5)...), "first"...)
	want = append(append(want, words(1_700_000_001, 900_000_000, 7, 7)...), "second!"...)
	if !bytes.Equal(file.Bytes(), want) {
		t.Errorf("file\n%x, want\n%x", file.Bytes(), want)
	}
}

// gate lets a write through when told to, or fails it.
type gate chan error

func (g gate) Write(b []byte) (int, error) { return len(b), <-g }

func TestCaptureOfASlowWriter(t *testing.T) {
	g := make(gate, 1)
	g <- nil // the header
	c, err := startCapture(g, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	packet := make([]byte, 1484) // 1,500 with its header
	for range 2*maxCaptured/1500 + 10 {
		c.add(0, packet) // must not block: the writer takes one batch and hangs
	}
	close(g)
	if err := c.stop(); err == nil || !strings.Contains(err.Error(), "packets are missing") {
		t.Errorf("stop: %v", err)
	}
}

func TestCaptureOfAFailingWriter(t *testing.T) {
	full := errors.New("disk full")
	g := make(gate, 1)
	g <- full
	if _, err := startCapture(g, time.Now()); !errors.Is(err, full) {
		t.Errorf("header: %v", err)
	}
	g <- nil
	c, err := startCapture(g, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	g <- full
	c.add(0, []byte("x"))
	<-c.done
	c.add(0, []byte("y"))
	if err := c.stop(); !errors.Is(err, full) {
		t.Errorf("stop: %v", err)
	}
}
