package janus

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
)

// Object is a JSON object with the typed access Janus's API needs. Numbers in it are json.Number, so that 64-bit ids
// stay exact. Of duplicate keys the last wins. A null is there but has no type: Check refuses it where a type is asked
// for, as Janus does, and the getters take it as absent.
type Object map[string]any

// Type is the JSON type that a parameter must have.
type Type uint8

// The types of parameters.
const (
	Any    Type = iota // any value but null
	String             // a string
	Int                // an integer
	PosInt             // an integer of 0 or more (Janus's "positive integer")
	Real               // any number
	Bool
	Array
	Objects // an object
)

// describe says what the parameter should be, in Janus's words.
func (p Param) describe() string {
	noun, article := "value", "a "
	switch p.Type {
	case String:
		noun = "string"
	case Int:
		noun, article = "integer", "an "
	case PosInt:
		noun, article = "integer", "a positive "
	case Real:
		noun = "real"
	case Bool:
		noun = "boolean"
	case Array:
		noun, article = "array", "an "
	case Objects:
		noun, article = "object", "an "
	default:
	}
	if p.NonEmpty {
		article = "a non-empty "
	}
	return article + noun
}

// Param is what a request may or must carry.
type Param struct {
	Name     string
	Type     Type
	Required bool
	NonEmpty bool // a string or array that must not be empty
}

// Errors of [Object.Check], to be told apart with errors.Is. The wrapping [ParamError] has Janus's sentence.
var (
	ErrMissing = errors.New("missing mandatory element")
	ErrType    = errors.New("invalid element type")
)

// ParamError says what is wrong with a request, in Janus's words.
type ParamError struct {
	Kind  error // ErrMissing or ErrType
	Param string
	Text  string // "Missing mandatory element (room)"
}

// Error returns Janus's sentence.
func (e *ParamError) Error() string { return e.Text }

// Unwrap returns [ErrMissing] or [ErrType].
func (e *ParamError) Unwrap() error { return e.Kind }

// Check tests the object against params in order and returns a [*ParamError] for the first that does not fit.
func (o Object) Check(params ...Param) error {
	for _, p := range params {
		v, ok := o[p.Name]
		if !ok {
			if p.Required {
				return &ParamError{Kind: ErrMissing, Param: p.Name, Text: "Missing mandatory element (" + p.Name + ")"}
			}
			continue
		}
		if !is(v, p.Type) || p.NonEmpty && empty(v) {
			return &ParamError{Kind: ErrType, Param: p.Name, Text: "Invalid element type (" + p.Name + " should be " + p.describe() + ")"}
		}
	}
	return nil
}

func is(v any, t Type) bool {
	switch t {
	case Any:
		return true
	case String:
		_, ok := v.(string)
		return ok
	case Int:
		n, ok := v.(json.Number)
		return ok && integer(n)
	case PosInt:
		n, ok := v.(json.Number)
		return ok && integer(n) && n[0] != '-'
	case Real:
		_, ok := v.(json.Number)
		return ok
	case Bool:
		_, ok := v.(bool)
		return ok
	case Array:
		_, ok := v.([]any)
		return ok
	case Objects:
		_, ok := v.(map[string]any)
		return ok
	}
	return false
}

// integer tells whether the number is written as an integer: "1.0" and "1e3" are reals to Janus.
func integer(n json.Number) bool { return !strings.ContainsAny(string(n), ".eE") }

func empty(v any) bool {
	switch v := v.(type) {
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	}
	return false
}

// Has tells whether the key is there and not null.
func (o Object) Has(key string) bool { return o[key] != nil }

// String returns the string of that key, "" if it is absent or of another type.
func (o Object) String(key string) string {
	s, _ := o[key].(string)
	return s
}

// Bool returns the boolean of that key, def if it is absent or of another type.
func (o Object) Bool(key string, def bool) bool {
	if b, ok := o[key].(bool); ok {
		return b
	}
	return def
}

// Int returns the integer of that key; ok is false if it is absent, no integer, or beyond 64 bits.
func (o Object) Int(key string) (n int64, ok bool) {
	v, isNumber := o[key].(json.Number)
	if !isNumber {
		return 0, false
	}
	n, err := strconv.ParseInt(string(v), 10, 64)
	return n, err == nil
}

// Uint returns the integer of that key, up to 2^64-1; ok is false if it is absent, no integer, negative or larger.
func (o Object) Uint(key string) (n uint64, ok bool) {
	v, isNumber := o[key].(json.Number)
	if !isNumber {
		return 0, false
	}
	n, err := strconv.ParseUint(string(v), 10, 64)
	return n, err == nil
}

// id reads a session's or handle's id as Janus does, whose integers are unsigned: -1 is 2^64-1. What is no id is 0.
func (o Object) id(key string) uint64 {
	if n, ok := o.Uint(key); ok {
		return n
	}
	n, _ := o.Int(key)
	return uint64(n) //nolint:gosec // on purpose
}

// Float returns the number of that key, whole or not; ok is false if it is absent or no number.
func (o Object) Float(key string) (f float64, ok bool) {
	v, isNumber := o[key].(json.Number)
	if !isNumber {
		return 0, false
	}
	f, err := v.Float64()
	return f, err == nil
}

// Object returns the object of that key, nil if it is absent or of another type.
func (o Object) Object(key string) Object {
	m, _ := o[key].(map[string]any)
	return m
}

// Array returns the array of that key, nil if it is absent or of another type.
func (o Object) Array(key string) []any {
	a, _ := o[key].([]any)
	return a
}

// Objects returns the elements of the array of that key; an element that is no object is nil.
func (o Object) Objects(key string) []Object {
	a := o.Array(key)
	if a == nil {
		return nil
	}
	l := make([]Object, len(a))
	for i, v := range a {
		m, _ := v.(map[string]any)
		l[i] = m
	}
	return l
}
