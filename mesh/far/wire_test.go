package far

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"cardea/relay/link"
	"cardea/relay/link/wire"
	"cardea/relay/plane"
	"cardea/signaling/janus/janustest"

	"github.com/google/go-cmp/cmp"
)

// fill sets every field of a value to something of its own.
func fill(v reflect.Value, serial *int) {
	*serial++
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(-int64(*serial % 100))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*serial % 200))
	case reflect.Float64:
		v.SetFloat(float64(*serial) / 4)
	case reflect.String:
		v.SetString(fmt.Sprint("text ", *serial))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), serial)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), serial)
		fill(v.Index(1), serial)
	case reflect.Struct:
		for _, f := range v.Fields() {
			fill(f, serial)
		}
	default:
		panic("fill: " + v.Type().String())
	}
}

// messages are all that crosses a link.
var messages = []any{
	&request{}, &reply{}, &openMessage{}, &restartMessage{}, &negotiateMessage{}, &candidatesMessage{}, &publishMessage{},
	&subscribeMessage{}, &streamMessage{}, &forwardMessage{}, &forwarderMessage{}, &peerMessage{}, &keepMessage{},
	&sessionMessage{}, &adoptMessage{}, &eventsMessage{}, &transportReply{}, &statsReply{}, &keptReply{}, &eventsReply{}, &nothing{},
}

// TestCarried wants every field of the seam's types to arrive: one without a number makes Marshal panic.
func TestCarried(t *testing.T) {
	serial := 0
	for _, m := range messages {
		fill(reflect.ValueOf(m).Elem(), &serial)
		got := reflect.New(reflect.TypeOf(m).Elem()).Interface()
		if err := wire.Unmarshal(wire.Marshal(m), got); err != nil {
			t.Errorf("%T: %v", m, err)
		} else if diff := cmp.Diff(m, got, cmp.Exporter(func(reflect.Type) bool { return true })); diff != "" {
			t.Errorf("%T: %s", m, diff)
		}
	}
}

// TestMethods wants a call for every method of the seam.
func TestMethods(t *testing.T) {
	kinds := map[link.Kind]bool{}
	Serve(ServerConfig{Plane: &janustest.Plane{}, Handle: func(k link.Kind, _ func(context.Context, link.NodeID, []byte) ([]byte, error)) {
		if kinds[k] {
			t.Errorf("two handlers of kind %d", k)
		}
		kinds[k] = true
	}})
	if methods := reflect.TypeFor[plane.Plane]().NumMethod(); len(kinds) != methods {
		t.Errorf("%d calls for %d methods", len(kinds), methods)
	}
	if KindOpen != 96 || KindAdopt != 110 {
		t.Error("the numbers of calls changed")
	}
}

// TestBytes pins what other versions of the program read.
func TestBytes(t *testing.T) {
	for _, tt := range []struct {
		message any
		want    string
	}{
		{request{Lease: 300, Number: 1, Body: []byte{9}}, "08ac0210011a0109"},
		{reply{Fault: faultStale, Text: "old"}, "080412036f6c64"},
		{openMessage{"a", plane.PeerOptions{NoMediaTimer: 1, SlowLinkThreshold: 2, Label: "l", Session: "s", Client: "c"}}, "0a0161120d080210041a016c2201732a0163"},
		{
			candidatesMessage{"a", []plane.Candidate{{Foundation: "1", Component: 1, Protocol: "udp", Priority: 5, Address: "x", Port: 9, Type: "host"}}, true},
			"0a016112170a013110011a0375647020052a017830093a04686f73741801",
		},
		{
			subscribeMessage{"a", []plane.Subscription{{Mid: "0", Stream: plane.StreamID{Room: "r", Publisher: "p", Mid: "m"}, Substream: -1}}},
			"0a016112100a013012090a01721201701a016d2001",
		},
		{eventsReply{7, []plane.Event{{Number: 1, Peer: "a", Type: plane.EventUp, Temporal: -1}}}, "08071209080112016118016001"},
	} {
		if got := hex.EncodeToString(wire.Marshal(tt.message)); got != tt.want {
			t.Errorf("%T is\n%s, want\n%s", tt.message, got, tt.want)
		}
	}
}

func TestFaults(t *testing.T) {
	for _, err := range []error{
		plane.ErrNoPeer, plane.ErrNoStream, plane.ErrStale, plane.ErrInvalid, plane.ErrOverloaded, plane.ErrEventsLost,
	} {
		r := reply{Fault: faultOf(fmt.Errorf("wrapped: %w", err)), Text: "at the other end"}
		if got := r.error(); !errors.Is(got, err) || got.Error() != "at the other end" {
			t.Errorf("%v became %v", err, got)
		}
	}
	if r := (&reply{}); r.error() != nil || faultOf(nil) != faultNone {
		t.Error("no error became one")
	}
	long := reply{Fault: 99, Text: strings.Repeat("x", 5000)}
	if err := long.error(); err == nil || len(err.Error()) > maxText || errors.Unwrap(err) != nil {
		t.Errorf("an unknown fault became %v", err)
	}
}

func TestCheck(t *testing.T) {
	good := plane.Session{Setup: plane.Active, Lines: []plane.Line{{Kind: plane.Audio, Direction: plane.SendRecv}}}
	for name, tt := range map[string]struct {
		change func(s *plane.Session)
		ok     bool
	}{
		"good":          {func(*plane.Session) {}, true},
		"kind 0":        {func(s *plane.Session) { s.Lines[0].Kind = 0 }, false},
		"kind 4":        {func(s *plane.Session) { s.Lines[0].Kind = 4 }, false},
		"direction":     {func(s *plane.Session) { s.Lines[0].Direction = 4 }, false},
		"setup":         {func(s *plane.Session) { s.Setup = 3 }, false},
		"remote setup":  {func(s *plane.Session) { s.Remote.Setup = 3 }, false},
		"many lines":    {func(s *plane.Session) { s.Lines = make([]plane.Line, maxLines+1) }, false},
		"many candates": {func(s *plane.Session) { s.Remote.Candidates = make([]plane.Candidate, maxCandidates+1) }, false},
	} {
		s := good
		s.Lines = append([]plane.Line(nil), good.Lines...)
		tt.change(&s)
		if err := check(&s); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzHandlers gives the handlers whatever a member gone wrong may send.
func FuzzHandlers(f *testing.F) {
	for i, m := range messages {
		f.Add(uint16(i), wire.Marshal(request{Lease: 1, Number: 1, Body: wire.Marshal(m)}))
	}
	f.Add(uint16(0), []byte{0xff})
	handlers := map[link.Kind]handler{}
	Serve(ServerConfig{Plane: &janustest.Plane{}, Handle: func(k link.Kind, h func(context.Context, link.NodeID, []byte) ([]byte, error)) { handlers[k] = h }})
	f.Fuzz(func(t *testing.T, kind uint16, b []byte) {
		k := KindOpen + link.Kind(kind%15)
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // nobody waits for events here
		answer, err := handlers[k](ctx, "member", b)
		var r reply
		if err != nil || wire.Unmarshal(answer, &r) != nil {
			t.Fatalf("answer %x, %v", answer, err)
		}
		if r.Fault == faultOther && bytes.Contains(answer, []byte("internal error")) {
			t.Fatal("a panic")
		}
	})
}
