package post

import (
	"encoding/hex"
	"errors"
	"testing"

	"cardea/relay/link"
)

func testAddress(name string) address {
	a, err := addressOf(nodeID(name))
	if err != nil {
		panic(err)
	}
	return a
}

func TestHeader(t *testing.T) {
	h := header{
		kind: greet, hops: 6, to: address{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, from: address{11, 12, 13, 14, 15, 16, 17, 18, 19, 20},
		source: 0x21222324, dest: 0x25262728,
	}
	b := h.append(nil, []byte{0xff})
	if got, want := hex.EncodeToString(b), "1206"+"0102030405060708090a"+"0b0c0d0e0f1011121314"+"21222324"+"25262728"+"ff"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	got, payload, err := parseHeader(b)
	if err != nil || got != h || string(payload) != "\xff" {
		t.Errorf("%+v, %x, %v", got, payload, err)
	}
	for name, tt := range map[string]struct {
		b    []byte
		want error
	}{
		"empty":   {nil, errShort},
		"short":   {b[:headerSize-1], errShort},
		"long":    {make([]byte, maxDatagram+1), errShort},
		"version": {append([]byte{0x22}, b[1:]...), errVersion},
	} {
		if _, _, err := parseHeader(tt.b); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAddress(t *testing.T) {
	for _, id := range []link.NodeID{"aaaaaaaaaaaaaaaa", "abcdefghijklmnop", "2345672345672345"} {
		if a, err := addressOf(id); err != nil || a.id() != id {
			t.Errorf("%s: %v, %v", id, a.id(), err)
		}
	}
	for _, id := range []link.NodeID{"", "a", "ABCDEFGHIJKLMNOP", "aaaaaaaaaaaaaaa1", "aaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaa\n"} {
		if _, err := addressOf(id); err == nil {
			t.Errorf("%q passes for an id", id)
		}
	}
}

func FuzzHeader(f *testing.F) {
	f.Add(header{kind: carry, hops: 3, source: 1, dest: 2}.append(nil, []byte("x")))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, payload, err := parseHeader(b)
		if err != nil {
			return
		}
		if again := h.append(nil, payload); string(again) != string(b) {
			t.Errorf("%x becomes %x", b, again)
		}
	})
}
