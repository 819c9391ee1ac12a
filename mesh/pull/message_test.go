package pull

import (
	"encoding/hex"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"cardea/relay/link"
	"cardea/relay/plane"
	"cardea/relay/stream"
)

// What is on the wire is pinned: other versions of the program read it.
func TestMessages(t *testing.T) {
	for _, c := range []struct {
		name    string
		message any
		hex     string
	}{
		{
			"want", &wantMessage{Flow: 5, Room: "r", Publisher: "p", Mid: "0", Layers: 4, Best: true, Route: []string{"x"}},
			"0805" + "120172" + "1a0170" + "220130" + "2804" + "3001" + "3a0178",
		},
		{"unwant", &unwantMessage{Flow: 5}, "0805"},
		{"layers", &layersMessage{Flow: 5, Layers: 3}, "0805" + "1003"},
		{"keyframe", &keyframeMessage{Flow: 5, Layers: 3}, "0805" + "1003"},
		{"refusal", &refusalMessage{Flow: 5, Reason: reasonUnknown}, "0805" + "1002"},
		{"announcement of nothing", &announceMessage{Flow: 5, Path: []string{"h", "p"}}, "0805" + "120168" + "120170"},
		{"announcement", &announceMessage{Flow: 5, Path: []string{"h"}, Published: &publishedMessage{
			Incarnation: 9, Kind: 2, Codecs: []codecMessage{{Name: "vp8", PayloadType: 96, ClockRate: 90000, Channels: 1, Fmtp: "x"}},
			Layers: 3, SVC: true, Flows: []flowMessage{{Layer: 1, Bits: 300, Rate: 1}},
		}}, "0805" + "120168" + "1a2a" + "0809" + "1002" + "1a10" + "0a03767038" + "1060" + "1890bf05" + "2001" + "2a0178" +
			"2003" + "2801" + "320e" + "0801" + "10ac02" + "19000000000000f03f"},
		{
			"hints", &hintsMessage{Streams: []hintMessage{{Flow: 5, Sent: 7, Flows: []flowMessage{{Layer: 0, Bits: 1}}}}},
			"0a08" + "0805" + "1007" + "1a02" + "1001",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := encode(c.message)
			if got := hex.EncodeToString(b); got != c.hex {
				t.Errorf("written as %s, want %s", got, c.hex)
			}
			back := reflect.New(reflect.TypeOf(c.message).Elem()).Interface()
			if err := decode(b, back); err != nil || !reflect.DeepEqual(back, c.message) {
				t.Errorf("read as %+v, %v", back, err)
			}
		})
	}
}

// decode reads a message of whatever kind m is.
func decode(b []byte, m any) (err error) {
	switch m := m.(type) {
	case *wantMessage:
		err = read(b, m, parseWant)
	case *unwantMessage:
		err = read(b, m, parseUnwant)
	case *layersMessage:
		err = read(b, m, parseLayers)
	case *keyframeMessage:
		err = read(b, m, parseKeyframe)
	case *refusalMessage:
		err = read(b, m, parseRefusal)
	case *announceMessage:
		err = read(b, m, parseAnnounce)
	case *hintsMessage:
		err = read(b, m, parseHints)
	}
	return err
}

func read[T any](b []byte, into *T, parse func([]byte) (*T, error)) error {
	m, err := parse(b)
	if err == nil {
		*into = *m
	}
	return err
}

func TestMessagesOutOfBounds(t *testing.T) {
	long := strings.Repeat("x", maxName+1)
	published := func(change func(m *publishedMessage)) any {
		m := &publishedMessage{Incarnation: 1, Kind: 2, Layers: 3, Codecs: []codecMessage{{Name: "vp8", PayloadType: 96}}}
		change(m)
		return &announceMessage{Path: []string{"h"}, Published: m}
	}
	flow := func(f flowMessage) any { return &hintsMessage{Streams: []hintMessage{{Flows: []flowMessage{f}}}} }
	for name, m := range map[string]any{
		"no room":           &wantMessage{Publisher: "p"},
		"long room":         &wantMessage{Room: long},
		"long publisher":    &wantMessage{Room: "r", Publisher: long},
		"long mid":          &wantMessage{Room: "r", Mid: long},
		"long route":        &wantMessage{Room: "r", Route: make([]string, maxRoute+1)},
		"nameless node":     &wantMessage{Room: "r", Route: []string{""}},
		"long path":         &announceMessage{Path: strings.Split(strings.Repeat("a,", maxPath), ",")},
		"long node":         &announceMessage{Path: []string{long}},
		"no incarnation":    published(func(m *publishedMessage) { m.Incarnation = 0 }),
		"data":              published(func(m *publishedMessage) { m.Kind = uint8(plane.Data) }),
		"no layers":         published(func(m *publishedMessage) { m.Layers = 0 }),
		"many layers":       published(func(m *publishedMessage) { m.Layers = stream.MaxLayers + 1 }),
		"no codec":          published(func(m *publishedMessage) { m.Codecs = nil }),
		"many codecs":       published(func(m *publishedMessage) { m.Codecs = make([]codecMessage, maxCodecs+1) }),
		"payload type":      published(func(m *publishedMessage) { m.Codecs[0].PayloadType = 128 }),
		"long codec":        published(func(m *publishedMessage) { m.Codecs[0].Name = long }),
		"long fmtp":         published(func(m *publishedMessage) { m.Codecs[0].Fmtp = long }),
		"layer of a hint":   flow(flowMessage{Layer: stream.MaxLayers}),
		"rate of a hint":    flow(flowMessage{Rate: math.NaN()}),
		"negative rate":     flow(flowMessage{Rate: -1}),
		"bitrate of a hint": flow(flowMessage{Bits: maxBits + 1}),
		"many flows":        &hintsMessage{Streams: []hintMessage{{Flows: make([]flowMessage, stream.MaxLayers+1)}}},
		"many hints":        &hintsMessage{Streams: make([]hintMessage, maxHinted+1)},
	} {
		if err := decode(encode(m), m); !errors.Is(err, errMessage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A stream is described so that it can be made anew, down to the extensions that links carry.
func TestDescription(t *testing.T) {
	id := plane.StreamID{Room: "r", Publisher: "p", Mid: "0"}
	was := stream.New(stream.Config{ID: id, Kind: plane.Video, Layers: 3, SVC: true, Codecs: []plane.Codec{
		{Name: "h264", PayloadType: 102, ClockRate: 90000, Fmtp: "packetization-mode=1", RTX: 103, NACK: true},
	}, Extensions: []plane.Extension{{ID: 9, URI: plane.ExtMid}}})
	got := describe(was, 1).config(id)
	want := was.Config()
	want.Extensions = link.Extensions()
	want.Codecs = []plane.Codec{{Name: "h264", PayloadType: 102, ClockRate: 90000, Fmtp: "packetization-mode=1"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("made with %+v, want %+v", got, want)
	}
}

// FuzzNotice hands arbitrary notices to a puller that is in the midst of things.
func FuzzNotice(f *testing.F) {
	f.Add(uint16(0), encode(&wantMessage{Flow: 1, Room: "r", Publisher: "p", Route: []string{"x"}}))
	f.Add(uint16(2), encode(&announceMessage{Flow: 1, Path: []string{"x"}, Published: &publishedMessage{
		Incarnation: 1, Kind: 2, Layers: 3, Codecs: []codecMessage{{Name: "vp8", PayloadType: 96}},
	}}))
	f.Add(uint16(4), encode(&hintsMessage{Streams: []hintMessage{{Flow: 1, Sent: 7, Flows: []flowMessage{{Layer: 2, Bits: 5}}}}}))
	f.Fuzz(func(t *testing.T, kind uint16, payload []byte) {
		p, nb := midst()
		work, err := notices[kindWant+link.Kind(kind%7)](p, payload)
		if err != nil {
			if !errors.Is(err, errMessage) {
				t.Fatal(err)
			}
			return
		}
		work(nb)
		p.tick()
		if n := len(nb.children); n > 1 {
			t.Fatalf("%d children of one notice", n)
		}
		p.stop()
	})
}
