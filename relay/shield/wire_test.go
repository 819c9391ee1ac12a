package shield

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHeaderLayout(t *testing.T) {
	b := make([]byte, headerLen)
	putHeader(b, kindParity, 0x123456*tick+5, 0xa1b2c3d4)
	if got, want := hex.EncodeToString(b), "24123456a1b2c3d400000000"; got != want {
		t.Errorf("header %s, want %s", got, want)
	}
	if got, want := parseHeader(b), (header{kindParity, 0x123456, 0xa1b2c3d4}); got != want {
		t.Errorf("parsed %+v, want %+v", got, want)
	}
	for first := range 256 {
		b[0] = byte(first)
		if got, want := shielded(append(b[:headerLen:headerLen], 1)), first >= 0x20 && first < 0x28; got != want {
			t.Errorf("first byte %#x shielded: %v", first, got)
		}
	}
}

func TestReportLayout(t *testing.T) {
	r := report{
		echo: 0x010203, hold: 0x0405, highest: 0x06070809, settled: 0x0a0b0c0d, lost: 0x0e0f1011, runs: 0x12131415,
		missed: 0x16171819, bytes: 0x1a1b1c1d, delay: 0x1e1f, mean: 0x2021, largest: 0x2223, reports: 0x24252627,
		asks: []ask{{0x31323334, 0x35}, {0x36373839, 0x3a}},
	}
	b := r.append(nil)
	want := "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223242526270231323334353637383" + "93a"
	if got := hex.EncodeToString(b); got != want {
		t.Fatalf("report\n%s, want\n%s", got, want)
	}
	var back report
	if err := back.parse(b); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, back, cmp.AllowUnexported(report{}, ask{})); diff != "" {
		t.Error(diff)
	}
	for n := range len(b) {
		if back.parse(b[:n]) == nil {
			t.Errorf("%d of %d bytes taken for a report", n, len(b))
		}
	}
}

func FuzzReport(f *testing.F) {
	f.Add((&report{asks: []ask{{1, 2}}}).append(nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var r, again report
		if r.parse(b) != nil {
			return
		}
		out := r.append(nil)
		if !bytes.Equal(out, b) {
			t.Fatalf("%x parsed and written is %x", b, out)
		}
		if again.parse(out) != nil || !reflect.DeepEqual(r, again) {
			t.Fatalf("%+v became %+v", r, again)
		}
	})
}

func TestNearest(t *testing.T) {
	for _, c := range []struct {
		base uint64
		low  uint32
		want uint64
	}{
		{0, 0, 0},
		{0, 5, 5},
		{10, 3, 3},
		{1<<32 - 1, 2, 1<<32 + 2},
		{1<<32 + 2, 1<<32 - 1, 1<<32 - 1},
		{5 << 32, 7, 5<<32 + 7},
		{0, 1<<32 - 1, 1<<32 - 1},
	} {
		if got := nearest(c.base, c.low); got != c.want {
			t.Errorf("nearest(%d, %d) = %d, want %d", c.base, c.low, got, c.want)
		}
	}
}

func TestTicks(t *testing.T) {
	for _, d := range []int64{0, 1, -1, 1000, -1000, 1 << 22, -(1 << 22)} {
		for _, at := range []int64{1 << 30, 1<<24 - 1, 1 << 24} {
			if got := ticksSince(ticks((at+d)*tick), ticks(at*tick)); got != d*tick {
				t.Errorf("%d ticks after %d: %d ns", d, at, got)
			}
		}
	}
}

// The first value is the one of the SipHash paper, folded to 32 bits.
func TestTag(t *testing.T) {
	k := tagger{0x0706050403020100, 0x0f0e0d0c0b0a0908}
	b := []byte{0, 1, 2, 3, 4, 5, 6, 7, 99, 99, 99, 99, 8, 9, 10, 11, 12, 13, 14}
	if got, want := k.sum(b), uint32(0xa129ca61^0x49be45e5); got != want {
		t.Errorf("sum %#x, want %#x", got, want)
	}
	for n := headerLen + 1; n < 60; n++ {
		b := make([]byte, n)
		k.put(b)
		if !k.valid(b) {
			t.Fatalf("own tag of %d bytes is not valid", n)
		}
		for i := range b {
			b[i] ^= 0x10
			if k.valid(b) {
				t.Errorf("byte %d of %d may be changed", i, n)
			}
			b[i] ^= 0x10
		}
	}
}

func TestKeys(t *testing.T) {
	secret := bytes.Repeat([]byte{7}, 32)
	co, ci, err := taggers(secret, true)
	if err != nil {
		t.Fatal(err)
	}
	so, si, _ := taggers(secret, false)
	if co != si || so != ci || co == ci {
		t.Error("the two ends' keys do not match, or the two directions' do")
	}
	if _, _, err := taggers(secret[:8], true); err == nil {
		t.Error("a short secret was taken")
	}
}
