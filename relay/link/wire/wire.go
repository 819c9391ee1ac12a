package wire

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"sync"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// ErrMalformed says that bytes are not the message that they should be.
var ErrMalformed = errors.New("malformed message")

// maxDepth bounds how deep messages lie in messages, against types that contain themselves.
const maxDepth = 16

// Marshal returns the message m, a struct or a pointer to one. It panics if the type cannot be a message: that is a mistake
// in the program.
func Marshal(m any) []byte { return Append(nil, m) }

// Append is Marshal at the end of b.
func Append(b []byte, m any) []byte {
	v := reflect.Indirect(reflect.ValueOf(m))
	return appendMessage(b, v, layout(v.Type()))
}

// Unmarshal reads b into the struct that m points to. Fields that b does not have become zero. Byte slices are copies. It
// returns an error that wraps [ErrMalformed], and m is then not to be used.
func Unmarshal(b []byte, m any) error {
	v := reflect.ValueOf(m).Elem()
	v.SetZero()
	return readMessage(b, v, layout(v.Type()), maxDepth)
}

// field is one field of a message.
type field struct {
	number   protowire.Number
	index    int
	repeated bool
	pointer  bool // of a struct
	kind     kind
	wire     protowire.Type
	name     string
}

type kind uint8

const (
	boolean kind = iota
	unsigned
	signed
	double
	text
	bytes
	message
)

var layouts sync.Map // of []field, by reflect.Type

func layout(t reflect.Type) []field {
	if l, ok := layouts.Load(t); ok {
		return l.([]field) //nolint:forcetypeassert // only these are stored
	}
	var fields []field
	taken := map[protowire.Number]bool{}
	for i := range t.NumField() {
		sf := t.Field(i)
		number, err := strconv.Atoi(sf.Tag.Get("pb"))
		f := field{number: protowire.Number(number), index: i, name: t.Name() + "." + sf.Name} //nolint:gosec // checked below
		if err != nil || !f.number.IsValid() || taken[f.number] || !sf.IsExported() {
			panic("wire: field " + f.name + " has no number of its own")
		}
		taken[f.number] = true
		f.describe(sf.Type)
		fields = append(fields, f)
	}
	layouts.Store(t, fields)
	return fields
}

// describe finds out how a field of the type is written.
func (f *field) describe(t reflect.Type) {
	if t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8 {
		f.repeated, t = true, t.Elem()
	}
	if t.Kind() == reflect.Pointer {
		f.pointer, t = true, t.Elem()
	}
	f.wire = protowire.VarintType
	switch t.Kind() { //nolint:exhaustive // the others cannot be sent
	case reflect.Bool:
		f.kind = boolean
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		f.kind = unsigned
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		f.kind = signed
	case reflect.Float64:
		f.kind, f.wire = double, protowire.Fixed64Type
	case reflect.String:
		f.kind, f.wire = text, protowire.BytesType
	case reflect.Slice:
		f.kind, f.wire = bytes, protowire.BytesType
	case reflect.Struct:
		f.kind, f.wire = message, protowire.BytesType
	default:
		panic("wire: field " + f.name + " has a type that cannot be sent")
	}
	if f.pointer && f.kind != message {
		panic("wire: field " + f.name + " points to no message")
	}
}

func appendMessage(b []byte, v reflect.Value, fields []field) []byte {
	for i := range fields {
		f := &fields[i]
		fv := v.Field(f.index)
		switch {
		case f.repeated:
			for j := range fv.Len() {
				b = f.append(b, fv.Index(j))
			}
		case !fv.IsZero():
			b = f.append(b, fv)
		}
	}
	return b
}

func (f *field) append(b []byte, v reflect.Value) []byte {
	b = protowire.AppendTag(b, f.number, f.wire)
	switch f.kind {
	case boolean:
		return protowire.AppendVarint(b, protowire.EncodeBool(v.Bool()))
	case unsigned:
		return protowire.AppendVarint(b, v.Uint())
	case signed:
		return protowire.AppendVarint(b, protowire.EncodeZigZag(v.Int()))
	case double:
		return protowire.AppendFixed64(b, math.Float64bits(v.Float()))
	case text:
		return protowire.AppendString(b, v.String())
	case bytes:
		return protowire.AppendBytes(b, v.Bytes())
	case message:
	}
	if f.pointer {
		if v.IsNil() { // in a slice
			return protowire.AppendBytes(b, nil)
		}
		v = v.Elem()
	}
	return protowire.AppendBytes(b, appendMessage(nil, v, layout(v.Type())))
}

func readMessage(b []byte, v reflect.Value, fields []field, depth int) error {
	if depth == 0 {
		return fmt.Errorf("%w: %s lies too deep", ErrMalformed, v.Type().Name())
	}
	next := 0
	for len(b) > 0 {
		number, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("%w: %s: %w", ErrMalformed, v.Type().Name(), protowire.ParseError(n))
		}
		b = b[n:]
		// Fields mostly come in their order.
		f := (*field)(nil)
		for range fields {
			if next >= len(fields) {
				next = 0
			}
			if fields[next].number == number {
				f = &fields[next]
				break
			}
			next++
		}
		if f == nil {
			if n = protowire.ConsumeFieldValue(number, typ, b); n < 0 {
				return fmt.Errorf("%w: field %d of %s: %w", ErrMalformed, number, v.Type().Name(), protowire.ParseError(n))
			}
			b = b[n:]
			continue
		}
		if typ != f.wire {
			return fmt.Errorf("%w: %s has wire type %d", ErrMalformed, f.name, typ)
		}
		fv := v.Field(f.index)
		if f.repeated {
			fv.Grow(1)
			fv.SetLen(fv.Len() + 1)
			fv = fv.Index(fv.Len() - 1)
		}
		n, err := f.read(b, fv, depth)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// read reads the value at the beginning of b and returns its length.
func (f *field) read(b []byte, v reflect.Value, depth int) (n int, err error) {
	var u uint64
	var raw []byte
	switch f.wire { //nolint:exhaustive // of the three in use
	case protowire.VarintType:
		u, n = protowire.ConsumeVarint(b)
	case protowire.Fixed64Type:
		u, n = protowire.ConsumeFixed64(b)
	default:
		raw, n = protowire.ConsumeBytes(b)
	}
	if n < 0 {
		return 0, fmt.Errorf("%w: %s: %w", ErrMalformed, f.name, protowire.ParseError(n))
	}
	switch f.kind {
	case boolean:
		v.SetBool(protowire.DecodeBool(u))
	case unsigned:
		if v.OverflowUint(u) {
			return 0, fmt.Errorf("%w: %s is %d", ErrMalformed, f.name, u)
		}
		v.SetUint(u)
	case signed:
		i := protowire.DecodeZigZag(u)
		if v.OverflowInt(i) {
			return 0, fmt.Errorf("%w: %s is %d", ErrMalformed, f.name, i)
		}
		v.SetInt(i)
	case double:
		v.SetFloat(math.Float64frombits(u))
	case text:
		if !utf8.Valid(raw) {
			return 0, fmt.Errorf("%w: %s is not UTF-8", ErrMalformed, f.name)
		}
		v.SetString(string(raw))
	case bytes:
		v.SetBytes(append([]byte{}, raw...))
	case message:
		if f.pointer {
			v.Set(reflect.New(v.Type().Elem()))
			v = v.Elem()
		} else {
			v.SetZero() // the last one counts
		}
		return n, readMessage(raw, v, layout(v.Type()), depth-1)
	}
	return n, nil
}
