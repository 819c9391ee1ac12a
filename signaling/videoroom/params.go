package videoroom

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"math"
	"strconv"

	"cardea/signaling/janus"
)

// Janus's plugins refuse null for any parameter they know, as a value of the wrong type; unset stands for such a value.
type unset struct{}

// Bounds on what requests leave behind, bytes: the server keeps it, and sends it to everybody in the room.
const (
	maxText     = 32 << 10 // a text
	maxMetadata = 64 << 10 // a participant's metadata, as JSON
)

// check tests a request against its parameters in order. The first that does not fit makes the error.
func check(o janus.Object, params ...janus.Param) error {
	for _, p := range params {
		probe := o
		if v, ok := o[p.Name]; ok && v == nil {
			probe = janus.Object{p.Name: unset{}}
		}
		if err := probe.Check(p); err != nil {
			c := codeInvalidElement
			if errors.Is(err, janus.ErrMissing) {
				c = codeMissingElement
			}
			return refuse(c, "%s", err)
		}
		if err := checkSize(o[p.Name], p.Name); err != nil {
			return err
		}
	}
	return nil
}

// checkSize refuses texts and metadata beyond their bounds.
func checkSize(v any, name string) error {
	switch v := v.(type) {
	case string:
		if len(v) > maxText {
			return refuse(codeInvalidElement, "Invalid element value (%s is longer than %d bytes)", name, maxText)
		}
	case map[string]any:
		if b, err := json.Marshal(v); err != nil || len(b) > maxMetadata {
			return refuse(codeInvalidElement, "Invalid element value (%s is larger than %d bytes)", name, maxMetadata)
		}
	}
	return nil
}

// checkSecret compares what a request gives under a name with the secret it must be; nil for none. The comparison takes
// the same time however much of it is right.
func checkSecret(secret *string, o janus.Object, name string) error {
	if secret == nil {
		return nil
	}
	if err := check(o, janus.Param{Name: name, Type: janus.String, Required: true}); err != nil {
		return err
	}
	if subtle.ConstantTimeCompare([]byte(*secret), []byte(o.String(name))) != 1 {
		return refuse(codeUnauthorized, "Unauthorized (wrong %s)", name)
	}
	return nil
}

// optional returns the string of a key, nil when it is not there.
func optional(o janus.Object, name string) *string {
	if s, ok := o[name].(string); ok {
		return &s
	}
	return nil
}

// number returns the integer of a key cut to what limit allows; ok tells whether there is one.
func number(o janus.Object, name string, limit int) (n int, ok bool) {
	if !o.Has(name) {
		return 0, false
	}
	u, isUint := o.Uint(name)
	switch {
	case !isUint:
		if i, isInt := o.Int(name); isInt {
			return max(int(i), math.MinInt32), true // negative
		}
		return limit, true // beyond 64 bits
	case u > uint64(limit):
		return limit, true
	}
	return int(u), true
}

// jsonInt is an integer as a request would have it.
func jsonInt(n int) json.Number { return json.Number(strconv.Itoa(n)) }
