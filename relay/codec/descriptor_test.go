package codec

import (
	"bytes"
	"errors"
	"testing"
)

// bitWriter is the opposite of bits.
type bitWriter struct {
	b []byte
	n int
}

func (w *bitWriter) put(v uint32, n int) {
	for i := n - 1; i >= 0; i-- {
		if w.n%8 == 0 {
			w.b = append(w.b, 0)
		}
		w.b[w.n/8] |= byte(v>>i&1) << (7 - w.n%8)
		w.n++
	}
}

func (w *bitWriter) nonSymmetric(v, n uint32) {
	bits := 0
	for x := n; x != 0; x >>= 1 {
		bits++
	}
	if m := uint32(1)<<bits - n; v < m {
		w.put(v, bits-1)
	} else {
		w.put((v+m)>>1, bits-1)
		w.put((v+m)&1, 1)
	}
}

func (w *bitWriter) bytes() []byte { return w.b }

// testTemplate is a row of the tables in section A.6 of the AV1 RTP specification.
type testTemplate struct {
	spatial, temporal int
	fdiffs            []uint32
	chains            []uint32
	dtis              string
}

type testStructure struct {
	offset      uint32
	templates   []testTemplate
	protectedBy []uint32
	resolutions [][2]uint32
}

func (s testStructure) put(w *bitWriter) {
	targets := len(s.templates[0].dtis)
	w.put(s.offset, 6)
	w.put(uint32(targets-1), 5)
	for i, t := range s.templates {
		next := uint32(3)
		if i+1 < len(s.templates) {
			switch n := s.templates[i+1]; {
			case n.spatial != t.spatial:
				next = 2
			case n.temporal != t.temporal:
				next = 1
			default:
				next = 0
			}
		}
		w.put(next, 2)
	}
	for _, t := range s.templates {
		putDTIs(w, t.dtis)
	}
	for _, t := range s.templates {
		for _, d := range t.fdiffs {
			w.put(1, 1)
			w.put(d-1, 4)
		}
		w.put(0, 1)
	}
	chains := uint32(len(s.templates[0].chains))
	w.nonSymmetric(chains, uint32(targets)+1)
	if chains > 0 {
		for _, c := range s.protectedBy {
			w.nonSymmetric(c, chains)
		}
		for _, t := range s.templates {
			for _, c := range t.chains {
				w.put(c, 4)
			}
		}
	}
	if s.resolutions == nil {
		w.put(0, 1)
		return
	}
	w.put(1, 1)
	for _, r := range s.resolutions {
		w.put(r[0]-1, 16)
		w.put(r[1]-1, 16)
	}
}

func putDTIs(w *bitWriter, dtis string) {
	for _, c := range dtis {
		w.put(map[rune]uint32{'-': 0, 'D': 1, 'S': 2, 'R': 3}[c], 2)
	}
}

// testDescriptor writes a descriptor.
type testDescriptor struct {
	start, end bool
	template   uint32
	frame      uint32
	structure  *testStructure
	active     uint32 // with targets bits, 0 for none
	targets    int
	dtis       string
}

func (d testDescriptor) bytes() []byte {
	var w bitWriter
	flag := func(b bool) {
		if b {
			w.put(1, 1)
		} else {
			w.put(0, 1)
		}
	}
	flag(d.start)
	flag(d.end)
	w.put(d.template, 6)
	w.put(d.frame, 16)
	if d.structure == nil && d.active == 0 && d.dtis == "" {
		return w.bytes()
	}
	flag(d.structure != nil)
	flag(d.active != 0)
	flag(d.dtis != "")
	w.put(0, 2)
	if d.structure != nil {
		d.structure.put(&w)
	}
	if d.active != 0 {
		w.put(d.active, d.targets)
	}
	putDTIs(&w, d.dtis)
	return w.bytes()
}

// Section A.6.1 of the specification; decode targets 30, 15 and 7.5 frames/s.
var l1t3 = testStructure{
	offset: 60, // so that ids wrap
	templates: []testTemplate{
		{0, 0, nil, []uint32{0}, "SSS"},
		{0, 0, []uint32{4}, []uint32{4}, "SSS"},
		{0, 1, []uint32{2}, []uint32{2}, "SD-"},
		{0, 2, []uint32{1}, []uint32{1}, "D--"},
		{0, 2, []uint32{1}, []uint32{3}, "D--"},
	},
	protectedBy: []uint32{0, 0, 0},
	resolutions: [][2]uint32{{1280, 720}},
}

// Section A.6.2, full SVC with occasional switch; decode targets HD and VGA.
var l2t1 = testStructure{
	templates: []testTemplate{
		{0, 0, nil, []uint32{0, 0}, "SS"},
		{0, 0, []uint32{2}, []uint32{2, 1}, "RS"},
		{0, 0, []uint32{2}, []uint32{2, 1}, "SS"},
		{1, 0, []uint32{1}, []uint32{1, 1}, "S-"},
		{1, 0, []uint32{2, 1}, []uint32{1, 1}, "R-"},
	},
	protectedBy: []uint32{1, 0},
}

func TestDescriptorBits(t *testing.T) {
	// The first descriptor of L2T1 from section A.6.2, put together by hand, bit by bit:
	// 1 1 000000 0001001000110100   start, end, template 0, frame 0x1234
	// 1 0 0 0 0 000000 00001        structure present and nothing else; template offset 0, 2 decode targets
	// 00 00 10 00 11                layers of the templates: S0 S0 S0, S1 S1, end
	// 1010 1110 1010 1000 1100      DTIs SS RS SS S- R-
	// 0 100010 100010 100000 10001100000   FDIFFs -, 2, 2, 1, 2 and 1
	// 11 1 0                        2 chains; protected by 1 and 0
	// 00 21 21 11 11 (hex), 0       chain FDIFFs; no resolutions
	b := unhex(t, "c0 1234 8001 08eb aa31 1450 460e 0021 2111 1100")
	if got := (testDescriptor{start: true, end: true, frame: 0x1234, structure: &l2t1}).bytes(); !bytes.Equal(got, b) {
		t.Fatalf("the test's writer makes %x", got)
	}
	var s Structure
	var d Descriptor
	if err := ParseDescriptor(b, &s, &d); err != nil {
		t.Fatal(err)
	}
	if !d.Start || !d.End || d.Frame != 0x1234 || !d.Attached || d.Active != 3 || s.s.chains != 2 || s.s.count != 5 {
		t.Errorf("%+v, %d chains, %d templates", d, s.s.chains, s.s.count)
	}
}

func TestDescriptorLayers(t *testing.T) {
	type quality struct{ spatial, temporal int8 }
	for _, tt := range []struct {
		name      string
		structure *testStructure
		template  uint32
		spatial   int8
		temporal  int8
		needed    []quality
		not       []quality
		switches  []quality
		discard   bool
	}{
		{"L1T3 base", &l1t3, 1, 0, 0, []quality{{0, 0}, {0, 2}, {3, 7}}, nil, []quality{{0, 0}, {0, 1}, {0, 2}, {3, 7}}, false},
		{"L1T3 middle", &l1t3, 2, 0, 1, []quality{{0, 1}, {0, 2}, {0, 7}}, []quality{{0, 0}, {3, 0}}, []quality{{0, 2}}, false},
		{"L1T3 top", &l1t3, 3, 0, 2, []quality{{0, 2}}, []quality{{0, 0}, {0, 1}}, nil, true},
		{"L2T1 base, no switch", &l2t1, 1, 0, 0, []quality{{0, 0}, {1, 0}, {3, 7}}, nil, []quality{{0, 0}}, false},
		{"L2T1 base, switch", &l2t1, 2, 0, 0, []quality{{0, 0}, {1, 0}}, nil, []quality{{0, 0}, {1, 0}}, false},
		{"L2T1 upper", &l2t1, 4, 1, 0, []quality{{1, 0}, {2, 3}}, []quality{{0, 0}, {0, 7}}, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s Structure
			var info Info
			s.Describe(testDescriptor{start: true, template: tt.structure.offset, structure: tt.structure}.bytes(), &info)
			if !info.Keyframe || !info.FrameStart {
				t.Fatalf("first packet: %+v", info)
			}
			info = Info{Temporal: -1, Spatial: -1}
			s.Describe(testDescriptor{end: true, template: (tt.structure.offset + tt.template) % 64}.bytes(), &info)
			if info.Spatial != tt.spatial || info.Temporal != tt.temporal || info.Keyframe || info.FrameStart || !info.FrameEnd {
				t.Errorf("%+v", info)
			}
			if info.Discardable != tt.discard {
				t.Errorf("discardable: %v", info.Discardable)
			}
			for _, q := range tt.needed {
				if info.Needed&Target(q.spatial, q.temporal) == 0 {
					t.Errorf("not needed for %+v", q)
				}
			}
			for _, q := range tt.not {
				if info.Needed&Target(q.spatial, q.temporal) != 0 {
					t.Errorf("needed for %+v", q)
				}
			}
			for _, q := range tt.switches {
				if info.Switch&Target(q.spatial, q.temporal) == 0 {
					t.Errorf("no switch for %+v", q)
				}
			}
		})
	}
}

func TestDescriptorActiveTargets(t *testing.T) {
	var s Structure
	var info Info
	s.Describe(testDescriptor{start: true, template: 0, structure: &l2t1, active: 2, targets: 2}.bytes(), &info)
	// Bit 1 is the lower decode target: the upper is not produced, so the highest quality is the lower one.
	s.Describe(testDescriptor{template: 4}.bytes(), &info)
	if info.Needed != 0 {
		t.Error("a frame of a decode target that is not produced is needed")
	}
	s.Describe(testDescriptor{template: 1, active: 3, targets: 2}.bytes(), &info)
	s.Describe(testDescriptor{template: 4}.bytes(), &info)
	if info.Needed&Target(3, 7) == 0 {
		t.Error("the upper decode target is produced again")
	}
}

func TestDescriptorCustomDTIs(t *testing.T) {
	var s Structure
	var info Info
	s.Describe(testDescriptor{start: true, template: 0, structure: &l2t1}.bytes(), &info)
	s.Describe(testDescriptor{template: 1, dtis: "-S"}.bytes(), &info)
	if info.Needed&Target(1, 0) != 0 || info.Needed&Target(0, 0) == 0 {
		t.Errorf("needed %#x", info.Needed)
	}
	s.Describe(testDescriptor{template: 1}.bytes(), &info)
	if info.Needed&Target(1, 0) == 0 {
		t.Error("custom DTIs outlived their packet")
	}
}

func TestDescriptorErrors(t *testing.T) {
	whole := testDescriptor{start: true, template: 60, structure: &l1t3}.bytes()
	tooManySpatial := testStructure{}
	for i := range 5 {
		tooManySpatial.templates = append(tooManySpatial.templates, testTemplate{spatial: i, dtis: "S"})
	}
	for _, tt := range []struct {
		name string
		b    []byte
	}{
		{"empty", nil},
		{"no structure yet", testDescriptor{}.bytes()},
		{"cut in the structure", whole[:len(whole)-8]},
		{"cut in the layers", whole[:5]},
		{"five spatial layers", testDescriptor{structure: &tooManySpatial}.bytes()},
		{"template out of range", testDescriptor{structure: &l1t3, template: 1}.bytes()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s Structure
			var d Descriptor
			if err := ParseDescriptor(tt.b, &s, &d); !errors.Is(err, ErrDescriptor) {
				t.Errorf("error %v", err)
			}
		})
	}
	// Without a structure the frame's bounds are known all the same.
	var s Structure
	info := Info{Temporal: -1, Spatial: -1}
	s.Describe(testDescriptor{start: true, end: true}.bytes(), &info)
	if !info.FrameStart || !info.FrameEnd || info.HasTargets || info.Spatial != -1 {
		t.Errorf("%+v", info)
	}
}

func TestDescriptorAllocatesNothing(t *testing.T) {
	key := testDescriptor{start: true, template: 60, structure: &l1t3}.bytes()
	delta := testDescriptor{template: 62}.bytes()
	var s Structure
	var info Info
	s.Describe(key, &info)
	if n := testing.AllocsPerRun(100, func() {
		s.Describe(key, &info)
		s.Describe(delta, &info)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestBits(t *testing.T) {
	r := bits{b: []byte{0b1010_0110, 0xff, 0x00, 0xff, 0xff}}
	if a, b, c := r.read(3), r.read(0), r.read(32); a != 5 || b != 0 || c != 0b00110_11111111_00000000_11111111_111 {
		t.Errorf("read %b, %b, %b", a, b, c)
	}
	if r.read(6) != 0 || !r.bad {
		t.Error("read over the end")
	}
	g := bits{b: []byte{0b1_010_011_0, 0b0100_0010, 0b1_0000000}} // 0, 1, 2, 3, 4
	for want := range uint32(5) {
		if got := g.golomb(); got != want {
			t.Errorf("golomb %d, want %d", got, want)
		}
	}
	if g.golomb(); !g.bad {
		t.Error("golomb code without an end")
	}
	for n := uint32(1); n <= 33; n++ {
		var w bitWriter
		for v := range n {
			w.nonSymmetric(v, n)
		}
		r := bits{b: w.bytes()}
		for v := range n {
			if got := r.nonSymmetric(n); got != v {
				t.Errorf("ns(%d): %d, want %d", n, got, v)
			}
		}
	}
	s := bits{b: []byte{0b1_010_011_0, 0b0100_0010, 0b1_0000000}}
	for _, want := range []int32{0, 1, -1, 2, -2} {
		if got := s.signedGolomb(); got != want {
			t.Errorf("signed golomb %d, want %d", got, want)
		}
	}
}
