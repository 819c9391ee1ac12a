package wan

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"time"
)

// maxCaptured bounds what a capture holds for a slow writer, bytes.
const maxCaptured = 8 << 20

// capture writes packets as a pcap file (nanoseconds, raw IP). The engine appends to a buffer; a goroutine of its own writes,
// so that a slow disk does not delay packets.
type capture struct {
	epoch time.Time // of the packets' times
	done  chan struct{}

	mu      sync.Mutex // guards below
	changed *sync.Cond
	pending []byte
	missed  uint64 // packets that found the buffer full
	ending  bool
	err     error // of the writer; nothing is captured after it
}

// startCapture writes the file's header and starts the goroutine that writes what follows.
func startCapture(w io.Writer, epoch time.Time) (*capture, error) {
	header := binary.LittleEndian.AppendUint32(nil, 0xa1b23c4d)         // magic of nanosecond files
	header = append(header, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0)         // version 2.4, UTC, no accuracy
	header = binary.LittleEndian.AppendUint32(header, 65535)            // snapshot length
	header = binary.LittleEndian.AppendUint32(header, 101 /* raw IP */) // LINKTYPE_RAW
	if _, err := w.Write(header); err != nil {
		return nil, fmt.Errorf("capture: %w", err)
	}
	c := &capture{epoch: epoch, done: make(chan struct{})}
	c.changed = sync.NewCond(&c.mu)
	go c.write(w)
	return c, nil
}

// add is a tap.
func (c *capture) add(now time.Duration, packet []byte) {
	at := c.epoch.Add(now)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.ending {
		return
	}
	if len(c.pending)+16+len(packet) > maxCaptured {
		c.missed++
		return
	}
	for _, v := range []uint32{uint32(at.Unix()), uint32(at.Nanosecond()), uint32(len(packet)), uint32(len(packet))} {
		c.pending = binary.LittleEndian.AppendUint32(c.pending, v)
	}
	c.pending = append(c.pending, packet...)
	c.changed.Signal()
}

func (c *capture) write(w io.Writer) {
	defer close(c.done)
	var batch []byte
	for {
		c.mu.Lock()
		for len(c.pending) == 0 && !c.ending {
			c.changed.Wait()
		}
		batch, c.pending = c.pending, batch[:0]
		ending := c.ending
		c.mu.Unlock()
		if _, err := w.Write(batch); err != nil {
			c.mu.Lock()
			c.err = err
			c.mu.Unlock()
			return
		}
		if ending {
			return
		}
	}
}

// stop writes what is left, waits for it, and reports a failed write or packets that are missing.
func (c *capture) stop() error {
	c.mu.Lock()
	c.ending = true
	c.changed.Signal()
	c.mu.Unlock()
	<-c.done
	switch {
	case c.err != nil:
		return fmt.Errorf("capture: %w", c.err)
	case c.missed > 0:
		return fmt.Errorf("capture: %d packets are missing: the writer was too slow", c.missed)
	}
	return nil
}
