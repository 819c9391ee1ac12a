package janus_test

import (
	"errors"
	"testing"

	"cardea/signaling/janus"
)

func parseOne(t *testing.T, text string) janus.Object {
	t.Helper()
	o, fault := janus.ParseOne([]byte(text))
	if fault != nil {
		t.Fatal(fault)
	}
	return o
}

func TestCheck(t *testing.T) {
	o := parseOne(t, `{"s":"x","empty":"","n":5,"neg":-5,"real":1.5,"exp":1e3,"big":18446744073709551615,"yes":true,"a":[1],"none":[],"o":{},"null":null}`)
	tests := []struct {
		p    janus.Param
		want string
		kind error
	}{
		{janus.Param{Name: "s", Type: janus.String, Required: true}, "", nil},
		{janus.Param{Name: "absent", Type: janus.String}, "", nil},
		{janus.Param{Name: "absent", Type: janus.String, Required: true}, "Missing mandatory element (absent)", janus.ErrMissing},
		{janus.Param{Name: "null", Type: janus.String}, "Invalid element type (null should be a string)", janus.ErrType},
		{janus.Param{Name: "null", Type: janus.Any}, "", nil},
		{janus.Param{Name: "n", Type: janus.String}, "Invalid element type (n should be a string)", janus.ErrType},
		{janus.Param{Name: "empty", Type: janus.String, NonEmpty: true}, "Invalid element type (empty should be a non-empty string)", janus.ErrType},
		{janus.Param{Name: "s", Type: janus.String, NonEmpty: true}, "", nil},
		{janus.Param{Name: "none", Type: janus.Array, NonEmpty: true}, "Invalid element type (none should be a non-empty array)", janus.ErrType},
		{janus.Param{Name: "a", Type: janus.Array, NonEmpty: true}, "", nil},
		{janus.Param{Name: "n", Type: janus.PosInt}, "", nil},
		{janus.Param{Name: "big", Type: janus.PosInt}, "", nil},
		{janus.Param{Name: "neg", Type: janus.PosInt}, "Invalid element type (neg should be a positive integer)", janus.ErrType},
		{janus.Param{Name: "neg", Type: janus.Int}, "", nil},
		{janus.Param{Name: "real", Type: janus.Int}, "Invalid element type (real should be an integer)", janus.ErrType},
		{janus.Param{Name: "exp", Type: janus.Int}, "Invalid element type (exp should be an integer)", janus.ErrType},
		{janus.Param{Name: "s", Type: janus.Int}, "Invalid element type (s should be an integer)", janus.ErrType},
		{janus.Param{Name: "real", Type: janus.Real}, "", nil},
		{janus.Param{Name: "yes", Type: janus.Real}, "Invalid element type (yes should be a real)", janus.ErrType},
		{janus.Param{Name: "yes", Type: janus.Bool}, "", nil},
		{janus.Param{Name: "n", Type: janus.Bool}, "Invalid element type (n should be a boolean)", janus.ErrType},
		{janus.Param{Name: "o", Type: janus.Array}, "Invalid element type (o should be an array)", janus.ErrType},
		{janus.Param{Name: "o", Type: janus.Objects}, "", nil},
		{janus.Param{Name: "a", Type: janus.Objects}, "Invalid element type (a should be an object)", janus.ErrType},
	}
	for _, tt := range tests {
		err := o.Check(tt.p)
		if got := errorText(err); got != tt.want {
			t.Errorf("Check(%+v) = %q, want %q", tt.p, got, tt.want)
		}
		if tt.kind != nil && !errors.Is(err, tt.kind) {
			t.Errorf("Check(%+v) is not %v", tt.p, tt.kind)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestGetters(t *testing.T) {
	o := parseOne(t, `{"s":"x","n":-5,"big":18446744073709551615,"real":1.5,"yes":true,"l":[{"k":1},2],"o":{"p":"q"},"null":null,"dup":1,"dup":2}`)
	if o.String("s") != "x" || o.String("n") != "" || o.String("absent") != "" {
		t.Error("String")
	}
	if n, ok := o.Int("n"); n != -5 || !ok {
		t.Error("Int", n, ok)
	}
	if _, ok := o.Int("big"); ok {
		t.Error("Int beyond 63 bits")
	}
	if n, ok := o.Uint("big"); n != 1<<64-1 || !ok {
		t.Error("Uint", n, ok)
	}
	if _, ok := o.Uint("n"); ok {
		t.Error("Uint of a negative number")
	}
	if _, ok := o.Uint("real"); ok {
		t.Error("Uint of a real number")
	}
	if f, ok := o.Float("real"); f != 1.5 || !ok {
		t.Error("Float", f, ok)
	}
	if !o.Bool("yes", false) || !o.Bool("absent", true) || o.Bool("s", false) {
		t.Error("Bool")
	}
	if o.Object("o").String("p") != "q" || o.Object("s") != nil {
		t.Error("Object")
	}
	if l := o.Objects("l"); len(l) != 2 || l[1] != nil {
		t.Error("Objects", l)
	}
	if o.Objects("absent") != nil || len(o.Array("l")) != 2 {
		t.Error("Array")
	}
	if o.Has("null") || !o.Has("s") || o.Has("absent") {
		t.Error("Has")
	}
	if n, _ := o.Int("dup"); n != 2 {
		t.Error("of duplicate keys the last must win")
	}
}
