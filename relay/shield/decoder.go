package shield

import (
	"slices"
	"time"
)

const (
	ringSize    = 512  // symbols kept to repair others with: the largest window, and what may overtake
	memory      = 4096 // numbers whose fate is remembered, so that nothing is handed up twice
	settleLag   = 128  // a number that is so far behind the highest and is not here counts as lost
	maxGaps     = 512  // numbers missed at a time
	maxColumns  = 64   // of these, those that parity rows speak of
	columnReach = ringSize - maxWindow

	// askWait is how long parity may take to repair a symbol before it is asked for again.
	askWait = int64(60 * time.Millisecond)
	// askWaitBare is the same where no parity is sent; the symbol may have been overtaken.
	askWaitBare = int64(6 * time.Millisecond)
	// askPeriod and askTimes say how often a symbol is asked for: the request may be lost too.
	askPeriod = int64(20 * time.Millisecond)
	askTimes  = 3
	// parityQuiet is how long after the last parity the sender is taken to send none.
	parityQuiet = int64(100 * time.Millisecond)
)

// fate is what became of a number.
type fate uint8

const (
	missing  fate = iota
	arrived       // by itself
	repaired      // by parity
	repeated      // in a kindAgain
)

// gap is a number that should be here and is not.
type gap struct {
	number  uint64
	noticed int64
	asked   int64
	asks    uint8
	column  int8 // -1: none
}

// decoder takes symbols and parity in any order and hands each symbol up once, as soon as it is known.
type decoder struct {
	// deliver takes a symbol that has just become known, whole and in no order. The content lives in the ring.
	deliver func(number uint64, k kind, content []byte)

	started bool
	highest uint64 // number
	ring    [ringSize]symbol
	fates   [memory]fate

	gaps    []gap // ascending
	columns [maxColumns]uint64
	used    uint64 // bit set of columns
	pivots  [maxColumns]*row
	free    []*row
	rows    int // allocated

	floor      uint64 // no parity to come covers numbers below
	lastParity int64
	parityGap  int64 // mean time from one parity to the next

	settled             uint64 // fates of numbers below are counted
	lost, runs, missed  uint64
	inRun               bool
	repairs, corrupt    uint64
	duplicates, tooLate uint64
	lateness            int64  // how much later than its successors a packet came, decaying
	solved              []*row // those that have become one symbol, not handed up yet
}

func (d *decoder) fate(n uint64) *fate { return &d.fates[n%memory] }
func (d *decoder) slot(n uint64) *symbol {
	return &d.ring[n%ringSize]
}

// tooOld tells whether a number is too far behind to say whether it was here already.
func (d *decoder) tooOld(n uint64) bool { return n+memory <= d.highest }

// symbolIn takes a symbol from the network.
func (d *decoder) symbolIn(n uint64, k kind, content []byte, now int64) {
	d.advance(n, now)
	if d.tooOld(n) || *d.fate(n) != missing {
		d.duplicates++
		if !d.tooOld(n) {
			*d.fate(n) = arrived // repaired too early: it was overtaken, not lost
		}
		return
	}
	if g := d.gap(n); g >= 0 {
		d.lateness = max(d.lateness, now-d.gaps[g].noticed)
	}
	d.known(n, k, content, arrived)
	d.handUp()
}

// againIn takes a symbol that was sent once more.
func (d *decoder) againIn(n uint64, k kind, content []byte) {
	if !d.started || n > d.highest || d.tooOld(n) || *d.fate(n) != missing {
		d.duplicates++
		return
	}
	d.known(n, k, content, repeated)
	d.handUp()
}

// advance notes that numbers up to n were sent.
func (d *decoder) advance(n uint64, now int64) {
	if !d.started {
		d.started, d.highest, d.settled = true, n, n
		// What was sent before the first packet to arrive may be late, or lost: parity tells.
		if n < settleLag {
			d.settled, d.highest = 0, 0
			if n > 0 {
				d.addGap(0, now)
			}
		}
	}
	if n <= d.highest {
		return
	}
	if n-d.highest > memory/2 { // an outage: nobody waits for what was sent in it
		d.settle(d.highest + 1)
		d.lost += n - d.highest - 1
		d.missed += n - d.highest - 1
		d.runs++
		for len(d.gaps) > 0 {
			d.dropGap(0)
		}
		clear(d.fates[:])
		d.highest, d.settled = n, n
		return
	}
	for m := d.highest + 1; m <= n; m++ {
		*d.fate(m) = missing
		if m < n {
			d.addGap(m, now)
		}
	}
	d.highest = n
	if n >= settleLag {
		d.settle(n - settleLag)
	}
	for len(d.gaps) > 0 && d.gaps[0].number+memory/2 < n {
		d.dropGap(0)
	}
	for i := range d.gaps {
		if d.gaps[i].number+columnReach >= n {
			break
		}
		d.dropColumn(i)
	}
}

// settle counts the fates of numbers below n.
func (d *decoder) settle(n uint64) {
	for ; d.settled < n; d.settled++ {
		f := *d.fate(d.settled)
		if f == arrived {
			d.inRun = false
			continue
		}
		if !d.inRun {
			d.runs++
		}
		d.inRun = true
		d.lost++
		if f != repaired {
			d.missed++
		}
	}
}

func (d *decoder) addGap(n uint64, now int64) {
	if len(d.gaps) == maxGaps {
		d.dropGap(0)
	}
	d.gaps = append(d.gaps, gap{number: n, noticed: now, column: -1})
}

// gap returns the index of the gap of a number, or -1.
func (d *decoder) gap(n uint64) int {
	i, ok := slices.BinarySearchFunc(d.gaps, n, func(g gap, n uint64) int {
		switch {
		case g.number < n:
			return -1
		case g.number > n:
			return 1
		}
		return 0
	})
	if !ok {
		return -1
	}
	return i
}

func (d *decoder) dropGap(i int) {
	d.dropColumn(i)
	d.gaps = slices.Delete(d.gaps, i, i+1)
}

// known notes and hands up a symbol, and takes it out of the rows that speak of it.
func (d *decoder) known(n uint64, k kind, content []byte, f fate) {
	*d.fate(n) = f
	s := symbol{number: n, kind: k, length: len(content)}
	if n+ringSize > d.highest {
		p := d.slot(n)
		if p.buf == nil {
			p.buf = make([]byte, slotSize)
		}
		s.buf = p.buf
		copy(s.buf[headerLen:], content)
		s.seal()
		*p = s
		content = s.content()
	}
	if g := d.gap(n); g >= 0 {
		if c := int(d.gaps[g].column); c >= 0 {
			d.substitute(c, &s) // columns reach less far back than the ring
		}
		d.gaps = slices.Delete(d.gaps, g, g+1)
	}
	d.deliver(n, k, content)
}

// parityIn takes a parity row over the window of numbers that ends with last.
func (d *decoder) parityIn(last uint64, window int, index uint8, prefix [2]byte, content []byte, now int64) {
	first := last + 1 - uint64(window)
	d.advance(last, now)
	if gap := now - d.lastParity; d.lastParity > 0 && gap < parityQuiet {
		d.parityGap += (gap - d.parityGap) / 8
	}
	d.lastParity = now
	if first+columnReach <= d.highest {
		d.tooLate++
		return
	}
	d.floor = max(d.floor, first)
	if last == d.highest && *d.fate(last) == missing && d.gap(last) < 0 {
		d.addGap(last, now)
	}
	g, _ := slices.BinarySearchFunc(d.gaps, first, func(g gap, n uint64) int {
		if g.number < n {
			return -1
		}
		return 1
	})
	if g == len(d.gaps) || d.gaps[g].number > last {
		return // nothing is missing
	}
	r := d.newRow()
	r.length, r.coefficients = 0, [maxColumns]byte{}
	r.prefix = prefix
	r.grow(padded(len(content)))
	copy(r.buf, content)
	for i := g; i < len(d.gaps) && d.gaps[i].number <= last; i++ {
		if d.gaps[i].column < 0 && !d.addColumn(i) {
			d.release(r)
			return
		}
		r.coefficients[d.gaps[i].column] = coefficient(index, d.gaps[i].number)
	}
	for n := first; n <= last; n++ {
		if *d.fate(n) != missing {
			if s := d.slot(n); s.number == n {
				r.add(coefficient(index, n), s)
			}
		} else if d.gap(n) < 0 { // given up: the row is of no use
			d.release(r)
			return
		}
	}
	for c, p := range d.pivots {
		if p != nil && r.coefficients[c] != 0 {
			r.eliminate(c, p)
		}
	}
	d.reinsert(r)
	d.handUp()
}

// hopeless tells whether so much is missing that parity will not repair it in time.
func (d *decoder) hopeless(now int64) bool {
	i := 0
	for i < len(d.gaps) && d.gaps[i].number < d.floor {
		i++
	}
	if i == len(d.gaps) {
		return false
	}
	lacking := len(d.gaps) - i
	for _, r := range d.pivots {
		if r != nil {
			lacking--
		}
	}
	return now-d.gaps[i].noticed+int64(lacking)*d.parityGap > askWait
}

// ask appends the runs of numbers to be sent again, at most up to the capacity that asks has. What parity will not repair in time is asked for
// at once: it will be too late for the picture, but QUIC waits two round trips at most before it takes a packet for lost.
func (d *decoder) ask(asks []ask, now int64) []ask {
	wait := askWait
	if now-d.lastParity > parityQuiet || d.hopeless(now) {
		wait = askWaitBare + d.lateness
	}
	for i := range d.gaps {
		g := &d.gaps[i]
		if g.asks == askTimes || g.number >= d.floor && now-g.noticed < wait || g.asks > 0 && now-g.asked < askPeriod {
			continue
		}
		if n := len(asks); n > 0 && uint32(g.number) == asks[n-1].first+uint32(asks[n-1].count) && asks[n-1].count < 255 {
			asks[n-1].count++
		} else if n < maxAsks {
			asks = append(asks, ask{first: uint32(g.number), count: 1})
		} else {
			break
		}
		g.asks++
		g.asked = now
	}
	d.lateness -= d.lateness >> 6
	return asks
}
