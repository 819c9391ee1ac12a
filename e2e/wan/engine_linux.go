package wan

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	readBatch    = 32 // packets taken from one device before the next has its turn
	deliverBatch = 32 // packets delivered between two looks at the clock
)

// engine moves packets between the devices and the fabric, on one thread.
type engine struct {
	start   time.Time
	devices []int // descriptors, by site
	wake    int   // eventfd: what the engine waits for has changed
	done    chan struct{}

	mu      sync.Mutex // guards below
	fabric  *fabric
	closing bool

	scratch []byte // owned by run: where packets go that find no room
}

// startEngine takes over the descriptors.
func startEngine(t Topology, devices []int) (*engine, error) {
	wake, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	e := &engine{start: time.Now(), devices: devices, wake: wake, done: make(chan struct{}), scratch: make([]byte, t.mtu())}
	e.fabric = newFabric(t, e.write)
	go e.run()
	return e, nil
}

// now is the fabric's clock.
func (e *engine) now() time.Duration { return time.Since(e.start) }

// change runs f between two batches and lets the engine look again at what to wait for.
func (e *engine) change(f func(now time.Duration, f *fabric)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f(e.now(), e.fabric)
	e.nudge()
}

// nudge wakes the engine. The caller holds mu: after close the descriptor may be somebody else's.
func (e *engine) nudge() {
	if !e.closing {
		// It fails only when the counter is full, and then the engine is awake.
		_, _ = unix.Write(e.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
}

// close ends the engine and closes the descriptors.
func (e *engine) close() {
	e.mu.Lock()
	e.nudge()
	e.closing = true
	e.mu.Unlock()
	<-e.done
	for _, fd := range e.devices {
		unix.Close(fd)
	}
	unix.Close(e.wake)
}

func (e *engine) run() {
	defer close(e.done)
	restore := urgent()
	defer restore()
	polled := make([]unix.PollFd, 0, len(e.devices)+1)
	for _, fd := range append(slices.Clip(e.devices), e.wake) {
		polled = append(polled, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	for {
		timeout, ok := e.turn(polled)
		if !ok {
			return
		}
		if _, err := unix.Ppoll(polled, timeout, nil); err != nil {
			for i := range polled {
				polled[i].Revents = 0 // EINTR: nothing was looked at
			}
		}
	}
}

// turn reads what the devices have, delivers what is due, and returns how long to wait for the next packet: nil is for ever.
func (e *engine) turn(polled []unix.PollFd) (timeout *unix.Timespec, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing {
		return nil, false
	}
	wake := len(polled) - 1
	if polled[wake].Revents != 0 {
		var counter [8]byte
		_, _ = unix.Read(e.wake, counter[:])
	}
	for site := range polled[:wake] {
		switch events := polled[site].Revents; {
		case events&unix.POLLIN != 0:
			e.read(site)
		case events != 0:
			polled[site].Fd = -1 // somebody has removed the device; poll would return at once for ever
		}
	}
	for e.fabric.advance(e.now(), deliverBatch) {
	}
	due, waiting := e.fabric.next()
	if !waiting {
		return nil, true
	}
	left := unix.NsecToTimespec(int64(max(due-e.now(), 0)))
	return &left, true
}

// read takes packets from a device until it has none, or the others' turn has come.
func (e *engine) read(site int) {
	for range readBatch {
		p := e.fabric.take()
		into := e.scratch
		if p != nil {
			into = p.data
		}
		n, err := unix.Read(e.devices[site], into)
		switch {
		case p == nil:
		case err != nil || n <= 0:
			e.fabric.release(p)
		default:
			p.size = n
			e.fabric.enter(e.now(), site, p)
		}
		if err != nil {
			return
		}
	}
}

// write gives a packet to a site's device; the kernel takes it through its receiving side before it returns.
func (e *engine) write(site int, packet []byte) bool {
	_, err := unix.Write(e.devices[site], packet)
	return err == nil
}

// urgent locks this goroutine to its thread and puts the thread before everything else on the machine, so that delays stay exact while
// the processes under test fight for the processors. The returned function makes it an ordinary thread again: it must not
// end, since processes that it has started may be waiting for its death (see Site.Command). Where the kernel refuses, the
// delays are as exact as the machine is idle.
func urgent() (restore func()) {
	runtime.LockOSThread()
	ordinary := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL}
	if was, err := unix.SchedGetAttr(0, 0); err == nil {
		ordinary = was
	}
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{
		Size:     unix.SizeofSchedAttr,
		Policy:   unix.SCHED_FIFO,
		Flags:    unix.SCHED_FLAG_RESET_ON_FORK,
		Priority: 1,
	}, 0)
	return func() {
		if unix.SchedSetAttr(0, ordinary, 0) == nil {
			runtime.UnlockOSThread()
		}
	}
}
