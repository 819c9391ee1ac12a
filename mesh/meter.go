package mesh

import (
	"sync"

	"cardea/relay/link"
)

// Traffic is what links carried, and what they did not take. All of it only grows.
type Traffic struct {
	DatagramsIn, DatagramsOut uint64 // padding not included
	BytesIn, BytesOut         uint64 // of them
	Paddings                  uint64 // datagrams sent to keep windows open
	Late                      uint64 // datagrams not sent that had waited too long
	Senseless                 uint64 // datagrams dropped that make no sense
	Unknown                   uint64 // datagrams dropped that are of no flow, or of one that was not known in time
	Cut                       uint64 // datagrams sent in two parts
	Carriers                  uint64 // connections dialled beside the first
	Faults                    uint64 // panics survived
	CallsIn, CallsOut         uint64
	NoticesIn, NoticesOut     uint64

	Replayed  uint64 // packets that were here already: overtaken by their repair, or played again
	Forged    uint64 // packets whose tag was wrong
	Malformed uint64 // packets with a right tag that make no sense
	Policed   uint64 // packets beyond what the other side may send
}

// reading is what a link's own counters said.
type reading struct {
	stats link.LinkStats
	row   link.Row
}

func read(l *link.Link) reading { return reading{l.Stats(), l.Row()} }

// grow adds what came since the last reading.
func (t *Traffic) grow(last, now reading) {
	was, is := &last.stats, &now.stats
	for _, c := range []struct {
		sum      *uint64
		was, now uint64
	}{
		{&t.DatagramsIn, was.In, is.In},
		{&t.DatagramsOut, was.Out, is.Out},
		{&t.BytesIn, was.BytesIn, is.BytesIn},
		{&t.BytesOut, was.BytesOut, is.BytesOut},
		{&t.Paddings, was.Paddings, is.Paddings},
		{&t.Late, was.Late, is.Late},
		{&t.Senseless, was.Malformed, is.Malformed},
		{&t.Unknown, was.Unknown + was.Early, is.Unknown + is.Early},
		{&t.Cut, was.Cut, is.Cut},
		{&t.Carriers, was.Carriers, is.Carriers},
		{&t.Faults, was.Faults, is.Faults},
		{&t.CallsIn, was.CallsIn, is.CallsIn},
		{&t.CallsOut, was.CallsOut, is.CallsOut},
		{&t.NoticesIn, was.Notices, is.Notices},
		{&t.NoticesOut, was.NoticesOut, is.NoticesOut},
		{&t.Replayed, last.row.Duplicates, now.row.Duplicates},
		{&t.Forged, last.row.Forged, now.row.Forged},
		{&t.Malformed, last.row.Malformed, now.row.Malformed},
		{&t.Policed, last.row.Policed, now.row.Policed},
	} {
		if c.now < c.was { // what counts was made anew, as when the other side has a new address
			c.was = 0
		}
		*c.sum += c.now - c.was
	}
}

// Meter adds up the traffic of all links there were. It is safe for concurrent use.
type Meter struct {
	mu    sync.Mutex
	sum   Traffic
	links map[*link.Link]reading // those that are up, as they were last read
}

// Meter returns a meter of all links from now on. It must be called before [Mesh.Run].
func (m *Mesh) Meter() *Meter {
	t := &Meter{links: make(map[*link.Link]reading)}
	m.links.Watch(t.linked)
	return t
}

func (t *Meter) linked(l *link.Link, up bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if up {
		// Packets are counted for the way to a node, which may be older than the link; all else begins with the link.
		t.links[l] = reading{row: l.Row()}
		return
	}
	if last, ok := t.links[l]; ok {
		t.sum.grow(last, read(l))
		delete(t.links, l)
	}
}

// Traffic returns what there was so far.
func (t *Meter) Traffic() Traffic {
	t.mu.Lock()
	defer t.mu.Unlock()
	for l, last := range t.links {
		now := read(l)
		t.sum.grow(last, now)
		t.links[l] = now
	}
	return t.sum
}
