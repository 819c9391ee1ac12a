package wire

import (
	"encoding/hex"
	"errors"
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

type inner struct {
	Name string `pb:"1"`
	Deep *inner `pb:"2"`
}

type sample struct {
	Bool     bool          `pb:"1"`
	Small    uint8         `pb:"2"`
	Big      uint64        `pb:"3"`
	Negative int           `pb:"4"`
	Wait     time.Duration `pb:"5"`
	Double   float64       `pb:"6"`
	Text     string        `pb:"7"`
	Raw      []byte        `pb:"8"`
	Inner    inner         `pb:"9"`
	Pointer  *inner        `pb:"10"`
	Texts    []string      `pb:"11"`
	Numbers  []uint32      `pb:"12"`
	Inners   []inner       `pb:"13"`
	Raws     [][]byte      `pb:"14"`
}

var full = sample{
	Bool: true, Small: 200, Big: 1 << 63, Negative: -5, Wait: -time.Second, Double: 0.25, Text: "Grüße", Raw: []byte{0, 1},
	Inner: inner{"a", &inner{Name: "b"}}, Pointer: &inner{}, Texts: []string{"", "x"}, Numbers: []uint32{0, 7},
	Inners: []inner{{}, {Name: "c"}}, Raws: [][]byte{{1}, {}},
}

func TestRoundTrip(t *testing.T) {
	for _, in := range []sample{{}, full} {
		var out sample
		out.Text = "left over"
		if err := Unmarshal(Marshal(&in), &out); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(in, out) {
			t.Errorf("got %+v, want %+v", out, in)
		}
	}
}

// TestBytes pins the encoding: it is what other versions of the program read.
func TestBytes(t *testing.T) {
	const want = "080110c80118808080808080808080012009" + "28ffa7d6b907" + "31000000000000d03f" + "3a074772c3bcc39f65" +
		"42020001" + "4a080a016112030a0162" + "5200" + "5a005a0178" + "60006007" + "6a006a030a0163" + "720101" + "7200"
	if got := hex.EncodeToString(Marshal(full)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestOtherVersions has a message of a newer version read by an older one, and the other way round.
func TestOtherVersions(t *testing.T) {
	type old struct {
		Text string `pb:"7"`
	}
	var o old
	if err := Unmarshal(Marshal(full), &o); err != nil || o.Text != full.Text {
		t.Errorf("an older version reads %+v, %v", o, err)
	}
	var s sample
	if err := Unmarshal(Marshal(old{"x"}), &s); err != nil || !reflect.DeepEqual(s, sample{Text: "x"}) {
		t.Errorf("a newer version reads %+v, %v", s, err)
	}
}

func TestMalformed(t *testing.T) {
	deep := Marshal(inner{Name: "x"})
	for range 20 {
		deep = protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), deep)
	}
	for name, b := range map[string][]byte{
		"cut tag":         {0x80},
		"no value":        {0x08},
		"wrong wire type": {0x0a, 0x00},
		"too large":       {0x10, 0x80, 0x02},
		"cut bytes":       {0x42, 0x7f, 1},
		"not UTF-8":       {0x3a, 0x01, 0xff},
		"cut message":     {0x4a, 0x02, 0x0a, 0x05},
		"cut unknown":     {0xfa, 0x01, 0x7f},
	} {
		var s sample
		if err := Unmarshal(b, &s); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var i inner
	if err := Unmarshal(deep, &i); !errors.Is(err, ErrMalformed) {
		t.Errorf("too deep: %v", err)
	}
}

func TestNoMessage(t *testing.T) {
	for _, m := range []any{
		struct{ A string }{},
		struct {
			A string `pb:"0"`
		}{},
		struct {
			A string `pb:"1"`
			B string `pb:"1"`
		}{},
		struct {
			A map[string]string `pb:"1"`
		}{},
		struct {
			A *int `pb:"1"`
		}{},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%T can be sent", m)
				}
			}()
			Marshal(m)
		}()
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add(Marshal(full))
	f.Add([]byte{0x4a, 0x02, 0x0a, 0x05})
	f.Fuzz(func(t *testing.T, b []byte) {
		var s sample
		if Unmarshal(b, &s) != nil {
			return
		}
		var again sample
		if err := Unmarshal(Marshal(s), &again); err != nil {
			t.Fatal(err)
		}
	})
}
