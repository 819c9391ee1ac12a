package post

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cardea/relay/data"
	"cardea/relay/link/wire"
)

func TestMessages(t *testing.T) {
	long := strings.Repeat("x", maxID+1)
	for name, tt := range map[string]struct {
		c  control
		ok bool
	}{
		"empty":        {control{}, true},
		"all":          {control{&hello{1}, []subscribe{{1, "r", "p", "m", tally{1, 2, []span{{0, 3}, {5, 5}}}}}, []uint64{1}, []uint64{2}, []ack{{1, tally{}}}}, true},
		"long name":    {control{Subscribe: []subscribe{{Room: long}}}, false},
		"subscribes":   {control{Subscribe: make([]subscribe, maxSubscribes+1)}, false},
		"acks":         {control{Acks: make([]ack, maxAcks+1)}, false},
		"numbers":      {control{Refused: make([]uint64, maxNumbers+1)}, false},
		"spans":        {control{Acks: []ack{{State: tally{Unordered: make([]span, maxSpans+1)}}}}, false},
		"turned span":  {control{Acks: []ack{{State: tally{Unordered: []span{{3, 2}}}}}}, false},
		"spans touch":  {control{Acks: []ack{{State: tally{Unordered: []span{{1, 2}, {3, 4}}}}}}, false},
		"endless span": {control{Subscribe: []subscribe{{State: tally{Unordered: []span{{1, 1<<64 - 1}}}}}}, false},
	} {
		got, err := parseControl(wire.Marshal(&tt.c))
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(tt.c, got); tt.ok && diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for name, tt := range map[string]struct {
		f  frame
		ok bool
	}{
		"reliable":   {frame{Subscription: 1, Incarnation: 2, Number: 3, Label: []byte("\xff"), Data: []byte("x")}, true},
		"loose":      {frame{Partial: data.Retransmits, Limit: 3, Unordered: true}, true},
		"no number":  {frame{}, false},
		"numbered":   {frame{Partial: data.Lifetime, Number: 1}, false},
		"limited":    {frame{Number: 1, Limit: 1}, false},
		"kind":       {frame{Partial: 3}, false},
		"last":       {frame{Number: 1<<64 - 1}, false},
		"high floor": {frame{Number: 1, Floor: 2, Unordered: true}, false},
		"large":      {frame{Number: 1, Data: make([]byte, MaxMessage+1)}, false},
		"label":      {frame{Number: 1, Label: make([]byte, data.MaxName+1)}, false},
	} {
		if _, err := parseFrame(wire.Marshal(&tt.f)); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(wire.Marshal(&frame{
		Subscription: 1 << 63, Incarnation: 1 << 63, Number: 1 << 63, Floor: 1 << 63, Text: true, Unordered: true, Limit: 1 << 31,
		Label: make([]byte, data.MaxName), Protocol: make([]byte, data.MaxName), Data: make([]byte, MaxMessage),
	})); n > maxFrame {
		t.Errorf("the largest message takes %d bytes", n)
	}
	spans := make([]span, maxSpans)
	for i := range spans {
		spans[i] = span{1 << 62, 1 << 62}
	}
	full := control{Subscribe: make([]subscribe, maxSubscribes), Unsubscribe: make([]uint64, maxNumbers), Refused: make([]uint64, maxNumbers)}
	for i := range full.Subscribe {
		name := strings.Repeat("x", maxID)
		full.Subscribe[i] = subscribe{1 << 63, name, name, name, tally{1 << 63, 1 << 63, nil}}
	}
	for i := range full.Unsubscribe {
		full.Unsubscribe[i], full.Refused[i] = 1<<63, 1<<63
	}
	if n := len(wire.Marshal(&full)); n > maxFrame {
		t.Errorf("the largest control message takes %d bytes", n)
	}
	if n := len(wire.Marshal(&control{Acks: slices.Repeat([]ack{{1 << 63, tally{1 << 63, 1 << 63, spans}}}, maxAcks)})); n > maxFrame {
		t.Errorf("the largest acknowledgement takes %d bytes", n)
	}
}

func FuzzControl(f *testing.F) {
	f.Add(wire.Marshal(&control{Hello: &hello{1}, Subscribe: []subscribe{{1, "r", "p", "m", tally{1, 2, []span{{0, 3}, {5, 5}}}}}, Acks: []ack{{1, tally{}}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseControl(b)
		if err != nil {
			return
		}
		for _, a := range c.Acks {
			s := a.State
			for n := range uint64(20) {
				s.take(&frame{Incarnation: s.Incarnation, Number: n + 1, Floor: n / 2, Unordered: n%3 > 0})
				if !s.valid() {
					t.Fatalf("%+v becomes %+v", a.State, s)
				}
			}
		}
	})
}

func FuzzFrame(f *testing.F) {
	f.Add(wire.Marshal(&frame{Subscription: 1, Incarnation: 2, Number: 3, Label: []byte("x"), Data: []byte("y")}))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseFrame(b)
		if err != nil {
			return
		}
		if again, err := parseFrame(wire.Marshal(&m)); err != nil || cmp.Diff(m, again) != "" {
			t.Errorf("%+v becomes %+v, %v", m, again, err)
		}
	})
}
