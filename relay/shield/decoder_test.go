package shield

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// wired is an encoder whose packets are kept.
type wired struct {
	*encoder
	packets [][]byte
}

func newWired() *wired {
	w := &wired{}
	w.encoder = newEncoder(tagger{}, func(b []byte) { w.packets = append(w.packets, bytes.Clone(b)) })
	return w
}

// content is what symbol n is made of in tests.
func content(n uint64, length int) []byte {
	b := make([]byte, length)
	rng := rand.New(rand.NewPCG(n, 9))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	if length >= 8 {
		binary.BigEndian.PutUint64(b, n)
	}
	return b
}

// take gives a packet to a decoder as a session would.
func take(d *decoder, b []byte, now int64) {
	h := parseHeader(b)
	n := nearest(d.highest, h.number)
	b = b[headerLen:]
	if h.kind == kindParity {
		d.parityIn(n, int(b[0])+1, b[1], [2]byte{b[2], b[3]}, b[parityLen:], now)
		return
	}
	d.symbolIn(n, h.kind, b, now)
}

// equations is the oracle: plain Gaussian elimination over everything that was received, from which it says which numbers are determined.
type equations struct {
	known map[uint64]bool
	rows  []map[uint64]byte
}

func (e *equations) take(b []byte) {
	h := parseHeader(b)
	if h.kind != kindParity {
		e.known[uint64(h.number)] = true
		return
	}
	row := map[uint64]byte{}
	for i := range uint64(b[headerLen]) + 1 {
		n := uint64(h.number) - i
		row[n] = coefficient(b[headerLen+1], n)
	}
	e.rows = append(e.rows, row)
}

func (e *equations) determined() map[uint64]bool {
	var columns []uint64
	seen := map[uint64]bool{}
	for _, r := range e.rows {
		for n := range r {
			if e.known[n] {
				delete(r, n)
			} else if !seen[n] {
				seen[n] = true
				columns = append(columns, n)
			}
		}
	}
	done := map[int]bool{}
	for _, c := range columns {
		pivot := -1
		for i, r := range e.rows {
			if !done[i] && r[c] != 0 {
				pivot = i
				break
			}
		}
		if pivot < 0 {
			continue
		}
		done[pivot] = true
		p := e.rows[pivot]
		inv := field.inv(p[c])
		for i, r := range e.rows {
			if i == pivot || r[c] == 0 {
				continue
			}
			f := field.mul(r[c], inv)
			for n, v := range p {
				if r[n] ^= field.mul(f, v); r[n] == 0 {
					delete(r, n)
				}
			}
		}
	}
	out := map[uint64]bool{}
	for n := range e.known {
		out[n] = true
	}
	for i, r := range e.rows {
		if done[i] && len(r) == 1 {
			for n := range r {
				out[n] = true
			}
		}
	}
	return out
}

// Whatever is lost and in whatever order the rest arrives: exactly what the received packets determine is handed up, once, and as it was sent.
func TestRepairsAllThatCanBe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := newWired()
		count := rapid.IntRange(1, 110).Draw(t, "symbols")
		ratio := rapid.Float64Range(0, 0.6).Draw(t, "parity")
		lengths := rapid.SliceOfN(rapid.IntRange(1, maxSymbol), count, count).Draw(t, "lengths")
		for n, length := range lengths {
			e.send(kindPacket, content(uint64(n), length), int64(n)*1e6)
			e.owe(ratio, int64(n)*1e6)
		}
		keep := rapid.SliceOfN(rapid.Float64Range(0, 1), len(e.packets), len(e.packets)).Draw(t, "fates")
		lossShare := rapid.Float64Range(0, 0.5).Draw(t, "loss")
		shift := rapid.SliceOfN(rapid.IntRange(0, 12), len(e.packets), len(e.packets)).Draw(t, "order")
		// Without the first number there is no telling what was sent before the first to arrive; it is a session's first report that tells.
		var arrivals [][]byte
		for i, b := range e.packets {
			if i > 0 && keep[i] < lossShare {
				continue
			}
			arrivals = append(arrivals, b)
		}
		for i := range arrivals { // a bounded shuffle
			if j := i + shift[i]; i > 0 && j < len(arrivals) {
				arrivals[i], arrivals[j] = arrivals[j], arrivals[i]
			}
		}
		got := map[uint64]int{}
		d := &decoder{}
		d.deliver = func(n uint64, k kind, b []byte) {
			got[n]++
			if k != kindPacket || !bytes.Equal(b, content(n, lengths[n])) {
				t.Fatalf("symbol %d is handed up wrong", n)
			}
		}
		oracle := equations{known: map[uint64]bool{}}
		for i, b := range arrivals {
			take(d, b, int64(i)*1e6)
			oracle.take(b)
			if rapid.IntRange(0, 9).Draw(t, "twice") == 0 {
				take(d, b, int64(i)*1e6)
			}
		}
		want := oracle.determined()
		if len(d.gaps) < maxColumns { // as many unknowns as it has room for
			for n := range want {
				if got[n] == 0 {
					t.Fatalf("symbol %d is determined and was not repaired; %d of %d were handed up", n, len(got), len(want))
				}
			}
		}
		for n, times := range got {
			if !want[n] || times != 1 {
				t.Fatalf("symbol %d was handed up %d times, determined: %v", n, times, want[n])
			}
		}
		if d.corrupt != 0 {
			t.Fatalf("%d rows were found corrupt", d.corrupt)
		}
	})
}

// m rows over one window repair any m losses in it.
func TestAnyLossesUpToTheRows(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		e := newWired()
		symbols, rows := 1+rng.IntN(maxWindow), 1+rng.IntN(20)
		rows = min(rows, symbols)
		for n := range symbols {
			e.send(kindPacket, content(uint64(n), 40), 0)
		}
		for range rows {
			e.parity(0)
		}
		lost := map[int]bool{}
		for len(lost) < rows {
			lost[rng.IntN(symbols)] = true
		}
		d := &decoder{}
		got := 0
		d.deliver = func(n uint64, _ kind, b []byte) {
			got++
			if !bytes.Equal(b, content(n, 40)) {
				t.Fatalf("symbol %d is wrong", n)
			}
		}
		for i, b := range e.packets {
			if i >= symbols || !lost[i] {
				take(d, b, 0)
			}
		}
		if got != symbols {
			t.Fatalf("%d of %d symbols with %d rows for as many losses", got, symbols, rows)
		}
	}
}

// A long stream with loss and reordering: numbers grow beyond every ring, rows and columns are given back, nothing wrong or twice.
func TestLongStream(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	e := newWired()
	d := &decoder{}
	seen := map[uint64]bool{}
	d.deliver = func(n uint64, k kind, b []byte) {
		if k == kindAgain {
			orig := uint64(binary.BigEndian.Uint32(b))
			d.againIn(orig, kind(b[4]), b[againLen:])
			return
		}
		if seen[n] || !bytes.Equal(b, content(n, 20+int(n%100))) {
			t.Fatalf("symbol %d is wrong or comes twice", n)
		}
		seen[n] = true
	}
	l := loss{share: 0.05, burst: 6, rng: rng}
	var asks []ask
	sent := uint64(0)
	for i := range 60000 {
		now := int64(i) * 5e5
		e.send(kindPacket, content(e.next, 20+int(e.next%100)), now)
		e.owe(0.15, now)
		sent++
		if i%40 == 0 {
			asks = d.ask(asks[:0], now)
			for _, a := range asks {
				for j := range uint32(a.count) {
					e.sendAgain(uint64(a.first+j), now)
				}
			}
		}
		for _, b := range e.packets {
			if !l.lost() {
				take(d, b, now)
			}
		}
		e.packets = e.packets[:0]
	}
	again := e.next - sent
	if missing := sent - uint64(len(seen)); missing > sent/500 {
		t.Errorf("%d of %d never arrived, %d were sent again", missing, sent, again)
	}
	if d.rows > maxColumns+1 || len(d.free) > d.rows {
		t.Errorf("%d rows made, %d free", d.rows, len(d.free))
	}
	if d.corrupt > 0 {
		t.Errorf("%d corrupt", d.corrupt)
	}
}

// A packet that is overtaken may be repaired before it arrives. It is not lost, and must not be answered by parity.
func TestOvertakenIsNotLost(t *testing.T) {
	e := newWired()
	for n := range 2000 {
		e.send(kindPacket, content(uint64(n), 30), int64(n)*5e5)
		e.owe(0.2, int64(n)*5e5)
	}
	d := &decoder{deliver: func(uint64, kind, []byte) {}}
	for i := 0; i+10 < len(e.packets); i += 10 { // every tenth comes nine later
		for _, b := range append(e.packets[i+1:i+10:i+10], e.packets[i]) {
			take(d, b, int64(i)*5e5)
		}
	}
	if d.repairs == 0 || d.lost > 0 || d.runs > 0 {
		t.Errorf("%d repaired early, %d of them counted as lost", d.repairs, d.lost)
	}
}
