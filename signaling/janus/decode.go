package janus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds how deep objects and arrays may be nested. The API needs six.
const maxDepth = 64

// Parse reads the requests of one message of a client: one JSON document, or several one after the other. All are good
// or none is. An array comes out as an empty object, since to Janus it is a request that lacks everything.
func Parse(b []byte) ([]Object, *Error) {
	l, err := parse(b)
	if err != nil {
		return nil, errorf(CodeInvalidJSON, "Invalid Janus API request - %s", err)
	}
	return l, nil
}

// ParseOne reads the request of a message that holds just one, as with HTTP.
func ParseOne(b []byte) (Object, *Error) {
	l, err := Parse(b)
	switch {
	case err != nil:
		return nil, err
	case len(l) > 1:
		return nil, errorf(CodeInvalidJSON, "Invalid Janus API request - end of file expected")
	case bytes.HasPrefix(bytes.TrimLeft(b, " \t\r\n"), []byte("[")):
		return nil, errorf(CodeNotObject, "JSON error: not an object")
	}
	return l[0], nil
}

func parse(b []byte) ([]Object, error) {
	if err := scan(b); err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var l []Object
	for {
		var v any
		if err := d.Decode(&v); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, syntaxError(err)
		}
		switch v := v.(type) {
		case map[string]any:
			if err := numbers(v); err != nil {
				return nil, err
			}
			l = append(l, v)
		case []any:
			l = append(l, Object{})
		default:
			return nil, errors.New("'[' or '{' expected")
		}
	}
	if len(l) == 0 {
		return nil, errors.New("'[' or '{' expected near end of file")
	}
	return l, nil
}

// syntaxError keeps what the decoder says of the input short and free of Go's names.
func syntaxError(err error) error {
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("%s at byte %d", e.Error(), e.Offset)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("unexpected end of file")
	}
	return errors.New("not JSON")
}

// scan refuses what encoding/json would accept and Janus does not, or what would cost too much: invalid UTF-8, NUL and
// lone surrogates in strings, deep nesting.
func scan(b []byte) error {
	if !utf8.Valid(b) {
		return errors.New("invalid UTF-8")
	}
	depth, inString := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inString && c == '\\' && i+1 < len(b):
			i++
			if b[i] != 'u' {
				continue
			}
			n, err := escape(b[i-1:])
			if err != nil {
				return err
			}
			i += n - 2 // behind the last hex digit
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return errors.New("nested too deep")
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// escape checks a \u escape, or a pair of them, at the start of b and returns its length.
func escape(b []byte) (int, error) {
	first, ok := hex(b)
	switch {
	case !ok:
		return 2, nil // the decoder says what is wrong with it
	case first == 0:
		return 0, errors.New("\\u0000 is not allowed")
	case first >= 0xDC00 && first < 0xE000:
		return 0, fmt.Errorf("invalid Unicode '\\u%X'", first)
	case first < 0xD800 || first >= 0xE000:
		return 6, nil
	}
	if second, ok := hex(b[6:]); ok && second >= 0xDC00 && second < 0xE000 {
		return 12, nil
	}
	return 0, fmt.Errorf("invalid Unicode '\\u%X'", first)
}

// hex reads a \uXXXX escape.
func hex(b []byte) (uint64, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	return n, err == nil
}

// numbers refuses integers that do not fit 64 bits, of which Janus would make something else or nothing.
func numbers(v any) error {
	switch v := v.(type) {
	case json.Number:
		if !integer(v) {
			if _, err := v.Float64(); err != nil {
				return errors.New("real number overflow")
			}
			return nil
		}
		if strings.HasPrefix(string(v), "-") {
			if _, err := strconv.ParseInt(string(v), 10, 64); err != nil {
				return errors.New("too big negative integer")
			}
			return nil
		}
		if _, err := strconv.ParseUint(string(v), 10, 64); err != nil {
			return errors.New("too big integer")
		}
	case map[string]any:
		for _, e := range v {
			if err := numbers(e); err != nil {
				return err
			}
		}
	case []any:
		for _, e := range v {
			if err := numbers(e); err != nil {
				return err
			}
		}
	}
	return nil
}
