package janus_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"cardea/signaling/janus"
)

func TestParse(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100)
	tests := []struct {
		in   string
		n    int // requests
		fail string
	}{
		{`{}`, 1, ""},
		{` {"a":1} {"b":2}{"c":3}` + "\r\n", 3, ""},
		{`[]`, 1, ""},
		{`{"a":1}[1,2]`, 2, ""},
		{``, 0, "end of file"},
		{`   `, 0, "end of file"},
		{`"x"`, 0, "expected"},
		{`5`, 0, "expected"},
		{`{"a":1} trailing`, 0, "invalid character"},
		{`{"a":1`, 0, "end of file"},
		{`{'a':1}`, 0, "invalid character"},
		{`{"a":"\ud800"}`, 0, "invalid Unicode"},
		{`{"a":"\udc00"}`, 0, "invalid Unicode"},
		{`{"a":"\ud83c\ud83d"}`, 0, "invalid Unicode"},
		{`{"a":"\ud83c\udfa5 \\ud800 \u00e9"}`, 1, ""},
		{`{"a":"\u0000"}`, 0, "not allowed"},
		{`{"a":"\u12"}`, 0, "invalid character"},
		{"{\"a\":\"\xff\"}", 0, "UTF-8"},
		{`{"a":99999999999999999999999}`, 0, "too big integer"},
		{`{"a":[{"b":-99999999999999999999999}]}`, 0, "too big negative integer"},
		{`{"a":1e999}`, 0, "overflow"},
		{`{"a":18446744073709551615,"b":-9223372036854775808,"c":1.5e10}`, 1, ""},
		{deep, 0, "nested too deep"},
		{`{"a":"` + strings.Repeat("[", 1000) + `"}`, 1, ""},
	}
	for _, tt := range tests {
		l, fault := janus.Parse([]byte(tt.in))
		switch {
		case tt.fail == "" && fault != nil:
			t.Errorf("Parse(%.60q): %v", tt.in, fault)
		case tt.fail != "" && (fault == nil || fault.Code != janus.CodeInvalidJSON || !strings.Contains(fault.Reason, tt.fail)):
			t.Errorf("Parse(%.60q) = %v, want an error with %q", tt.in, fault, tt.fail)
		case len(l) != tt.n:
			t.Errorf("Parse(%.60q) has %d requests, want %d", tt.in, len(l), tt.n)
		}
	}
}

func TestParseOne(t *testing.T) {
	for in, want := range map[string]janus.Code{`{}`: 0, `[]`: janus.CodeNotObject, ` [1]`: janus.CodeNotObject, `{}{}`: janus.CodeInvalidJSON, `x`: janus.CodeInvalidJSON, `5`: janus.CodeInvalidJSON} {
		var got janus.Code
		if _, fault := janus.ParseOne([]byte(in)); fault != nil {
			got = fault.Code
		}
		if got != want {
			t.Errorf("ParseOne(%s): code %d, want %d", in, got, want)
		}
	}
}

// FuzzParse checks that what Parse takes is what encoding/json takes, and that what it returns can be written again.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"janus":"ping","transaction":"a"}`, `{"a":[1,-2,3.5e7,true,null,"\ud83c\udfa5"]}{}`, `[{}]`, `{"a":"\u0000"}`, `{"session_id":18446744073709551616}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l, fault := janus.Parse(b)
		if fault != nil {
			if l != nil || fault.Reason == "" || !utf8.ValidString(fault.Reason) {
				t.Fatalf("%v with %v", fault, l)
			}
			return
		}
		if len(l) == 0 {
			t.Fatal("nothing and no error")
		}
		for _, o := range l {
			out, err := json.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			if again, fault := janus.ParseOne(out); fault != nil || len(again) != len(o) {
				t.Fatalf("%s is not taken again: %v", out, fault)
			}
		}
	})
}

// FuzzRequest checks that no request makes the server panic or stay silent.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		`{"janus":"ping","transaction":"a"}`, `{"janus":"message","body":{"request":"answer"},"jsep":{"type":"offer","sdp":"v=0"},"transaction":"1"}`,
		`{"janus":"trickle","candidate":{"sdpMid":"0","candidate":"candidate:1 1 udp 1 192.0.2.1 9 typ host"},"transaction":"1"}`,
		`{"janus":"trickle","candidates":[{"completed":true},null],"transaction":"1"}`, `{"janus":"attach","plugin":"janus.plugin.probe","transaction":"1"}`,
		`{"janus":"message","body":{},"jsep":{"type":"offer","sdp":"x","svc":[{"mindex":0,"svc":"L3T3"}]},"transaction":"1"}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, request string) {
		l, fault := janus.Parse([]byte(request))
		if fault != nil {
			return
		}
		s, h := open(t, nil, &plugin{})
		for _, o := range l {
			if _, ok := o["session_id"]; !ok {
				o["session_id"], o["handle_id"] = h.Session(), h.ID
			}
			if o.Object("body").String("request") == "block" || strings.HasPrefix(o.Object("body").String("request"), "panic") {
				continue
			}
			replies := make(chan []byte, 1)
			s.Handle(t.Context(), janus.Request{Object: o, Source: janus.NewSource("fuzz", func([]byte) {})}, func(b []byte) { replies <- b })
			if b := <-replies; !json.Valid(b) {
				t.Fatalf("reply %q", b)
			}
		}
		if n := s.Metrics().Panics.Load(); n != 0 {
			t.Fatalf("%d panics", n)
		}
	})
}
