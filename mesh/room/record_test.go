package room

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"cardea/mesh/rendezvous"
	"cardea/relay/link"
	"cardea/relay/link/wire"
)

// randomRecord is one of few versions of one room, so that versions collide.
func randomRecord(r *rand.Rand) *record {
	rec := &record{id: "a/1", born: 1 + r.Uint64N(6), permanent: r.IntN(3) == 0, node: link.NodeID(fmt.Sprint(r.IntN(2)))}
	rec.stamp = rec.born + r.Uint64N(4)
	if r.IntN(3) == 0 {
		return rec.grave(rec.born+r.Uint64N(4), rec.node, rec.permanent)
	}
	rec.ended = r.Uint64N(rec.born)
	rec.value = []byte{byte(r.IntN(2))}
	return rec.seal()
}

// TestMerge has versions meet in any order, and twice, with the same outcome.
func TestMerge(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 20000 {
		a, b, c := randomRecord(r), randomRecord(r), randomRecord(r)
		for _, way := range []*record{
			merge(merge(a, b), c), merge(a, merge(b, c)), merge(merge(c, b), a), merge(merge(b, a), merge(c, b)), merge(merge(a, c), merge(b, a)),
		} {
			if want := merge(merge(a, b), c); way.sum != want.sum || !reflect.DeepEqual(way, want) {
				t.Fatalf("%+v, %+v, %+v make %+v and %+v", a, b, c, want, way)
			}
		}
		m := merge(a, b)
		for _, x := range []*record{a, b} {
			if x.dead && !m.dead && m.born <= x.ended {
				t.Fatalf("%+v came back with %+v: %+v", x, a, m)
			}
		}
		if back, err := decodeRecord(m.encode(), time.Unix(0, 0)); err != nil || back.sum != m.sum {
			t.Fatalf("%+v reads as %+v: %v", m, back, err)
		}
	}
}

func TestDestroyWins(t *testing.T) {
	made := (&record{id: "a/1", born: 5, stamp: 5, value: []byte("made")}).seal()
	edited := (&record{id: "a/1", born: 5, stamp: 30, value: []byte("edited later elsewhere")}).seal()
	again := (&record{id: "a/1", born: 21, stamp: 21, ended: 20, value: []byte("made again")}).seal()
	grave := made.grave(20, "x", false)
	for _, tc := range []struct {
		name string
		a, b *record
		want *record
	}{
		{"an edit", made, edited, edited},
		{"destroyed", made, grave, grave},
		{"an edit after the end", edited, grave, grave},
		{"made again", again, grave, again},
		{"made again, and an edit of the old one", again, edited, again},
		{"nothing", nil, made, made},
	} {
		if got := merge(tc.a, tc.b); got.sum != tc.want.sum {
			t.Errorf("%s: %+v", tc.name, got)
		}
		if got := merge(tc.b, tc.a); got.sum != tc.want.sum {
			t.Errorf("%s, the other way round: %+v", tc.name, got)
		}
	}
}

func TestRecordRefused(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	good := recordMessage{ID: "a", Value: []byte("v"), Stamp: stampOf(now), Born: stampOf(now)}
	if _, err := good.record(now); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(m *recordMessage){
		"no id":              func(m *recordMessage) { m.ID = "" },
		"long id":            func(m *recordMessage) { m.ID = string(make([]byte, MaxID+1)) },
		"long record":        func(m *recordMessage) { m.Value = make([]byte, MaxRecord+1) },
		"long node":          func(m *recordMessage) { m.Node = string(make([]byte, maxNodeID+1)) },
		"from the future":    func(m *recordMessage) { m.Stamp = stampOf(now.Add(maxAhead + time.Hour)) },
		"ends in the future": func(m *recordMessage) { m.Ended = stampOf(now.Add(maxAhead + time.Hour)) },
		"never born":         func(m *recordMessage) { m.Born = 0 },
		"older than itself":  func(m *recordMessage) { m.Stamp-- },
		"undead":             func(m *recordMessage) { m.Ended = m.Born },
		"dead without end":   func(m *recordMessage) { m.Dead = true },
	} {
		m := good
		change(&m)
		if _, err := m.record(now); !errors.Is(err, errRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestForgotten(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := stampOf(now)
	r := (&record{id: "a", born: at, stamp: at}).seal()
	configured := (&record{id: "a", born: oldest, stamp: oldest}).seal()
	for _, tc := range []struct {
		r     *record
		after time.Duration
		want  bool
	}{
		{r, 1000 * time.Hour, false},
		{r.grave(at, "x", false), graveAge, false},
		{r.grave(at, "x", false), graveAge + time.Second, true},
		{r.grave(at, "x", true), graveAge + time.Second, false},
		{r.grave(at, "x", true), permanentGraveAge + time.Second, true},
		{configured.grave(at, "x", false), 1000 * time.Hour, false},
	} {
		if got := tc.r.forgotten(now.Add(tc.after)); got != tc.want {
			t.Errorf("%+v after %v: %v", tc.r, tc.after, got)
		}
	}
}

func TestClock(t *testing.T) {
	var c clock
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	a := c.next(now)
	if timeOf(a) != now.Local() {
		t.Errorf("%v is %v", now, timeOf(a))
	}
	if b := c.next(now.Add(-time.Hour)); b <= a {
		t.Error("a clock that was set back gives older stamps")
	}
	ahead := stampOf(now.Add(time.Hour))
	if b := c.after(now, ahead); b <= ahead {
		t.Error("not after")
	}
	if b := c.next(now); b > ahead {
		t.Error("another's clock spoils the own one")
	}
}

// TestRanking pins who keeps what: all versions of the program must agree on it. And it moves as little as it can.
func TestRanking(t *testing.T) {
	var k ranking
	for _, id := range simIDs(20) {
		k = append(k, member{id, rendezvous.Hash(string(id))})
	}
	pinned := map[string]string{
		"videoroom/1234": "[node000000000001 node000000000010 node000000000015]",
		"videoroom/1":    "[node000000000016 node000000000018 node000000000006]",
		"audiobridge/ä":  "[node000000000002 node000000000004 node000000000010]",
	}
	for room, want := range pinned {
		o := k.first(rendezvous.Hash(room), replicas)
		if got := fmt.Sprint(o.list()); got != want {
			t.Errorf("%s is kept by %s", room, got)
		}
	}
	held := map[link.NodeID]int{}
	for i := range 20000 {
		room := rendezvous.Hash(fmt.Sprint(i))
		o := k.first(room, replicas)
		for _, id := range o.list() {
			held[id]++
		}
		without := k.first(room, 2*replicas)
		less := append(ranking(nil), k...)
		at := i % len(less)
		gone := less[at].id
		less = append(less[:at], less[at+1:]...)
		now := less.first(room, replicas)
		var want []link.NodeID
		for _, id := range without.list() {
			if id != gone && len(want) < replicas {
				want = append(want, id)
			}
		}
		if fmt.Sprint(now.list()) != fmt.Sprint(want) {
			t.Fatalf("without %s: %v, want %v", gone, now.list(), want)
		}
	}
	for id, n := range held {
		if n < 2700 || n > 3300 {
			t.Errorf("%s keeps %d of 60000", id, n)
		}
	}
}

// TestBytes pins the messages: they are what other versions of the program read.
func TestBytes(t *testing.T) {
	rec := recordMessage{ID: "a/1", Value: []byte("v"), Stamp: 300, Born: 200, Ended: 100, Node: "n", Origin: "o", Permanent: true, Dead: true}
	for _, tc := range []struct {
		m    any
		want string
	}{
		{&noticeMessage{
			Epoch: 1, Seq: 2, AckEpoch: 3, AckSeq: 4, Lost: true,
			Items: []itemMessage{{
				Room: "a/1", Up: true, Begin: true, End: true, Stop: stopMoved, Born: 5, Stamp: 6, Record: &rec, Want: true,
				Entries: []entryMessage{{"p", "h", 7, 8, []byte("e")}}, Gone: []goneMessage{{"q", "w"}},
			}},
		}, "0801100218032004280132460a03612f31100118012001280230053806421a0a03612f3112017618ac0220c801286432016e3a016f400148014801520d0a0170120168180720082a01655a060a0171120177"},
		{&createMessage{Record: rec, Sure: true}, "0a1a0a03612f3112017618ac0220c801286432016e3a016f400148011001"},
		{&createReply{Result: createdBefore, Ended: 9}, "08041009"},
		{&storeMessage{Records: []recordMessage{rec}}, "0a1a0a03612f3112017618ac0220c801286432016e3a016f40014801"},
		{&fetchMessage{ID: "a"}, "0a0161"},
		{&fetchReply{Record: &recordMessage{Born: 1}}, "0a022001"},
		{&claimMessage{"a", "p", 3}, "0a01611201701803"},
		{&claimReply{Taken: true}, "0801"},
		{&digestMessage{Sum: 1 << 63}, "0880808080808080808001"},
		{&digestReply{Sums: []byte{1}}, "0a0101"},
		{&offerMessage{[]uint32{0, 255}, []offerRecord{{"a", 1}}}, "080008ff0112050a01611001"},
		{&offerReply{[]string{"a"}, []recordMessage{{Born: 1}}, true}, "0a0161120220011801"},
		{&askMessage{"a", "p", []byte("r")}, "0a01611201701a0172"},
		{&askReply{[]byte("r"), "no", true}, "0a017212026e6f1801"},
		{&listMessage{"a/", 7, "b"}, "0a02612f10071a0162"},
		{&listReply{[]listRoom{{"a", []byte("v"), 1, 2, true}}, true, 7, "b"}, "0a0c0a016112017618012002280110011807220162"},
	} {
		if got := hex.EncodeToString(wire.Marshal(tc.m)); got != tc.want {
			t.Errorf("%T\ngot  %s\nwant %s", tc.m, got, tc.want)
		}
		b, err := hex.DecodeString(tc.want)
		if err != nil {
			t.Fatal(err)
		}
		back := reflect.New(reflect.TypeOf(tc.m).Elem())
		// A newer version may have said more.
		if err := wire.Unmarshal(append(b, 0xfa, 0x06, 0x01, 0x78), back.Interface()); err != nil || !reflect.DeepEqual(back.Interface(), tc.m) {
			t.Errorf("%T reads as %+v: %v", tc.m, back.Interface(), err)
		}
	}
}
