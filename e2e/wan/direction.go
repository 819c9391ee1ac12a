package wan

import (
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// packet is an IP packet under way. It has one owner at a time: the free list, the engine while it reads a device, the queue of
// a bottleneck, or an event.
type packet struct {
	next    *packet // in the free list or a queue
	entered time.Duration
	size    int
	data    []byte // of the devices' MTU; the packet is the first size bytes
}

func (p *packet) bytes() []byte { return p.data[:p.size] }

// direction is the way from one site to another.
type direction struct {
	from, to   int // sites
	conditions Conditions
	cuts       int // partitions between the two
	stats      Stats

	loss      lossModel
	jitter    wander
	reorder   *rand.Rand
	duplicate *rand.Rand
	last      time.Duration // when the latest packet arrives that keeps the order

	// The bottleneck: packets wait in line, the head is being sent.
	head, tail *packet
	limit      int           // bytes of the line with its head
	started    time.Duration // when the head's first bit left
	done       time.Duration // when its last bit leaves
	service    uint64        // number of the event that says so; an event of another number is void

	entering, leaving tap
}

// tap gets a copy of each packet that passes it, and must not block.
type tap func(now time.Duration, packet []byte)

// newDirection seeds each kind of decision by itself, so that turning one on does not change the others, and by the names of the
// sites, so that a further site does not change the old ones.
func newDirection(seed uint64, from, to int, names [2]string) *direction {
	random := func(purpose string) *rand.Rand {
		h := fnv.New64a()
		for _, s := range []string{names[0], names[1], purpose} {
			h.Write([]byte(s))
			h.Write([]byte{0})
		}
		return rand.New(rand.NewPCG(seed, h.Sum64()))
	}
	return &direction{
		from: from, to: to,
		loss:      lossModel{random: random("loss")},
		jitter:    wander{random: random("jitter")},
		reorder:   random("reorder"),
		duplicate: random("duplicate"),
	}
}

// closed reports whether nothing passes.
func (d *direction) closed() bool { return d.cuts > 0 || d.conditions.Down }

// sending is the time that the bottleneck takes for n bytes.
func (d *direction) sending(n int) time.Duration {
	return time.Duration(float64(n) * 8 / float64(d.conditions.Rate) * float64(time.Second))
}

// line appends p to the queue of the bottleneck.
func (d *direction) line(p *packet) {
	p.next = nil
	if d.head == nil {
		d.head = p
	} else {
		d.tail.next = p
	}
	d.tail = p
	d.stats.Queued++
	d.stats.QueuedBytes += p.size
}

// unline takes the head out of the queue; there is one. Its wait ended when its first bit left, at started.
func (d *direction) unline(started time.Duration) *packet {
	p := d.head
	d.head, p.next = p.next, nil
	d.stats.Queued--
	d.stats.QueuedBytes -= p.size
	wait := started - p.entered
	d.stats.Waited += wait
	d.stats.LongestWait = max(d.stats.LongestWait, wait)
	return p
}

// snapshot returns the counters with the queue as it is at now.
func (d *direction) snapshot(now time.Duration) Stats {
	s := d.stats
	if d.head != nil {
		s.QueueDelay = max(d.done-now, 0) + d.sending(s.QueuedBytes-d.head.size)
	}
	return s
}
