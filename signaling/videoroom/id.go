package videoroom

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"cardea/signaling/janus"
)

// ID names a room or a participant: an integer, or with string ids any text. The zero ID is the integer 0.
type ID struct {
	text   string // of string ids
	number uint64
	string bool // which of the two it is
}

// numberID returns the ID of an integer.
func numberID(n uint64) ID { return ID{number: n} }

// textID returns the ID of a text.
func textID(s string) ID { return ID{text: s, string: true} }

// String returns the id as text; integers in decimal.
func (id ID) String() string {
	if id.string {
		return id.text
	}
	return strconv.FormatUint(id.number, 10)
}

// shareable tells whether the mesh takes the id.
func (id ID) shareable() bool { return !id.string || len(id.text) > 0 && len(id.text) <= MaxMeshID }

// MarshalJSON writes the id as the string or the number that it is.
func (id ID) MarshalJSON() ([]byte, error) {
	if id.string {
		b, err := json.Marshal(id.text)
		if err != nil {
			return nil, fmt.Errorf("encode id: %w", err)
		}
		return b, nil
	}
	return strconv.AppendUint(nil, id.number, 10), nil
}

// ids is how a plugin reads and makes ids: integers or strings.
type ids struct{ strings bool }

// param is the check of a request's id.
func (k ids) param(name string, required bool) janus.Param {
	t := janus.PosInt
	if k.strings {
		t = janus.String
	}
	return janus.Param{Name: name, Type: t, Required: required}
}

// get reads an id of a request. What is no id reads as 0 (or "(null)" with string ids), which some requests of Janus
// do not check before they look the room up.
func (k ids) get(o janus.Object, name string) ID {
	if k.strings {
		if s, ok := o[name].(string); ok {
			return textID(s)
		}
		return textID("(null)")
	}
	if n, ok := o.Uint(name); ok {
		return numberID(n)
	}
	n, _ := o.Int(name)
	return numberID(uint64(n)) // Janus's integers are unsigned: -1 is 2^64-1
}

// parse reads an id of the configuration.
func (k ids) parse(s string) (ID, error) {
	if k.strings {
		if s == "" {
			return ID{}, fmt.Errorf("empty id")
		}
		return textID(s), nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n == 0 {
		return ID{}, fmt.Errorf("id %q is not a positive integer", s)
	}
	return numberID(n), nil
}

// read reads the id of a participant or a room as nodes call it.
func (k ids) read(s string) (ID, bool) {
	if k.strings {
		return textID(s), textID(s).shareable()
	}
	id, err := k.parse(s)
	return id, err == nil && id.String() == s
}

// absent tells whether a request left the choice of the id to the server.
func (k ids) absent(o janus.Object, name string) bool {
	return !o.Has(name) || !k.strings && k.get(o, name) == numberID(0)
}

// random makes an id that taken does not know: a UUID (RFC 9562, version 4), or an integer that fits a double.
func (k ids) random(taken func(ID) bool) ID {
	for {
		var b [16]byte
		rand.Read(b[:]) // never fails (crypto/rand)
		if id := k.of(b); id != numberID(0) && !taken(id) {
			return id
		}
	}
}

// derived makes such an id of a text: the same one on all nodes.
func (k ids) derived(text string) ID {
	sum := sha256.Sum256([]byte(text))
	return k.of([16]byte(sum[:]))
}

// of makes an id of random bytes.
func (k ids) of(b [16]byte) ID {
	if !k.strings {
		return numberID(binary.BigEndian.Uint64(b[:]) & (1<<53 - 1))
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return textID(fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16]))
}

// random32 makes a non-zero 32-bit number that taken does not know.
func random32(taken func(uint32) bool) uint32 {
	for {
		var b [4]byte
		rand.Read(b[:])
		if n := binary.BigEndian.Uint32(b[:]); n != 0 && !taken(n) {
			return n
		}
	}
}

// real is a number that JSON must show as one with a fraction, as Janus does.
type real float64

// MarshalJSON writes the number with a decimal point.
func (r real) MarshalJSON() ([]byte, error) {
	f := float64(r)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		f = 0
	}
	b := strconv.AppendFloat(nil, f, 'f', -1, 64)
	if f == math.Trunc(f) {
		b = append(b, ".0"...)
	}
	return b, nil
}
