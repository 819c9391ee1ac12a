package peer

import (
	"encoding/binary"
	"testing"
)

func TestUnprotected(t *testing.T) {
	record := func(kind byte, epoch uint16, n int) []byte {
		b := make([]byte, recordHeader+n)
		b[0], b[1], b[2] = kind, 0xfe, 0xfd
		binary.BigEndian.PutUint16(b[3:], epoch)
		binary.BigEndian.PutUint16(b[11:], uint16(n))
		return b
	}
	const data = 23
	cipher := record(recordCipher, 0, 1)
	cipher[recordHeader] = 1
	flight := append(append(record(recordHandshake, 0, 70), cipher...), record(recordHandshake, 1, 40)...)
	tests := []struct {
		name string
		b    []byte
		want bool
	}{
		{"an alert in the clear", record(recordAlert, 0, 2), true},
		{"data in the clear", record(data, 0, 20), true},
		{"an alert behind a handshake message", append(record(recordHandshake, 0, 30), record(recordAlert, 0, 2)...), true},
		{"an alert behind protected data", append(record(data, 1, 30), record(recordAlert, 0, 2)...), true},
		{"a protected alert", record(recordAlert, 1, 26), false},
		{"protected data", record(data, 1, 100), false},
		{"the last flight again", flight, false},
		{"a change to no cipher", record(recordCipher, 0, 1), true},
		{"a change of cipher with more in it", record(recordCipher, 0, 30), true},
		{"a change of cipher in a later epoch", record(recordCipher, 1, 1), true},
		{"half a header", record(data, 1, 0)[:12], true},
		{"a record cut short", record(data, 1, 100)[:50], false}, // DTLS sees that itself
	}
	for _, tt := range tests {
		if got := unprotected(tt.b, true); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
	if !unprotected(flight, false) {
		t.Error("the last flight is still taken from one who has shown that our own has arrived")
	}
}
