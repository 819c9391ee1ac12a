package codec

import "errors"

// ErrDescriptor says that a dependency descriptor is malformed, or refers to a structure that was not received.
var ErrDescriptor = errors.New("codec: malformed dependency descriptor or unknown structure")

// Bounds of the template structure (AV1 RTP specification, appendix A): a template id has 6 bits, and the number of
// decode targets 5.
const (
	maxTemplates = 64
	maxTargets   = 32
)

// What a frame is to a decode target (table A.2).
const (
	notPresent uint8 = iota
	discardable
	switching
	required
)

// Descriptor is what the dependency descriptor of one packet says.
type Descriptor struct {
	Start, End bool // first and last packet of a frame of one spatial layer
	Frame      uint16
	Attached   bool   // a new structure came with it: a coded video sequence begins
	Active     uint32 // decode targets that are produced, a bit each
	Spatial    int8
	Temporal   int8
	Needed     uint32 // as in [Info]
	Switch     uint32
	// Discardable: no other frame of any decode target depends on it.
	Discardable bool
}

// Structure is the template structure that an encoder announces with its keyframes, kept per encoding: descriptors refer
// to it. The zero value knows nothing. Not safe for concurrent use.
type Structure struct {
	known  bool
	active uint32
	s      *structure
}

type structure struct {
	offset    uint8 // id of the first template
	targets   int
	chains    int
	count     int
	templates [maxTemplates]template
	// layers of every decode target: the highest of the frames that belong to it
	spatial, temporal [maxTargets]int8
	// best decode target for a quality, by spatial*MaxTemporal+temporal
	best [MaxSpatial * MaxTemporal]uint8
}

type template struct {
	spatial, temporal int8
	dtis              uint64 // two bits a decode target, the first lowest
	needed, switches  uint32
}

// Describe reads the descriptor b into info, as far as it goes. A descriptor that refers to an unknown structure tells
// where frames begin and end, and no layers.
func (s *Structure) Describe(b []byte, info *Info) {
	var d Descriptor
	if err := ParseDescriptor(b, s, &d); err != nil {
		if len(b) >= 3 {
			info.FrameStart, info.FrameEnd = d.Start, d.End
		}
		return
	}
	info.FrameStart, info.FrameEnd = d.Start, d.End
	info.Spatial, info.Temporal = d.Spatial, d.Temporal
	info.Keyframe = d.Attached && d.Start
	info.Discardable = d.Discardable
	info.HasTargets, info.Needed, info.Switch = true, d.Needed, d.Switch
}

// ParseDescriptor reads the dependency descriptor b (AV1 RTP specification, section A.4) by the structure announced so
// far; one that comes with the descriptor replaces it.
//
//	|S|E| template (6)|  frame number (16)  |   S/E: start/end of frame; that is all of a short descriptor
//	|T|A|D|F|C|                                 structure, active targets, own DTIs, FDIFFs and chains follow
func ParseDescriptor(b []byte, s *Structure, d *Descriptor) error {
	*d = Descriptor{Spatial: -1, Temporal: -1}
	if len(b) < 3 {
		return ErrDescriptor
	}
	r := bits{b: b}
	d.Start, d.End = r.flag(), r.flag()
	id := uint8(r.read(6))
	d.Frame = uint16(r.read(16))
	var ownDTIs bool
	if len(b) > 3 {
		var attached, active bool
		attached, active, ownDTIs = r.flag(), r.flag(), r.flag()
		r.skip(2) // FDIFFs and chains are of no use to us and come behind the DTIs
		if attached {
			next, ok := readStructure(&r)
			if !ok {
				return ErrDescriptor
			}
			s.adopt(next)
			d.Attached = true
		}
		if active && s.known {
			mask := r.read(s.s.targets)
			if !r.bad && mask != 0 && mask != s.active {
				s.activate(mask)
			}
		}
	}
	if !s.known {
		return ErrDescriptor
	}
	index := int(id-s.s.offset) & (maxTemplates - 1)
	if index >= s.s.count || r.bad {
		return ErrDescriptor
	}
	t := s.s.templates[index]
	if ownDTIs {
		t.dtis = readDTIs(&r, s.s.targets)
		s.s.qualify(&t)
		if r.bad {
			return ErrDescriptor
		}
	}
	d.Active = s.active
	d.Spatial, d.Temporal = t.spatial, t.temporal
	d.Needed, d.Switch = t.needed, t.switches
	d.Discardable = s.s.discards(t.dtis)
	return nil
}

// adopt makes next the structure in force. An encoder repeats its structure with every keyframe; the storage is reused.
func (s *Structure) adopt(next structure) {
	if s.s == nil {
		s.s = new(structure)
	}
	*s.s = next
	s.known = true
	s.activate(uint32(1<<next.targets - 1))
}

// activate takes note of which decode targets are produced and derives what each template means for every quality.
func (s *Structure) activate(mask uint32) {
	s.active = mask
	s.s.choose(mask)
	for i := range s.s.count {
		s.s.qualify(&s.s.templates[i])
	}
}

// readStructure reads template_dependency_structure().
func readStructure(r *bits) (s structure, ok bool) {
	s.offset = uint8(r.read(6))
	s.targets = int(r.read(5)) + 1
	if !s.readLayers(r) {
		return s, false
	}
	for i := range s.count {
		s.templates[i].dtis = readDTIs(r, s.targets)
	}
	for range s.count { // FDIFFs
		for r.flag() {
			r.skip(4)
		}
	}
	s.chains = int(r.nonSymmetric(uint32(s.targets) + 1)) //nolint:gosec // at most 33
	if s.chains > 0 {
		for range s.targets {
			r.nonSymmetric(uint32(s.chains)) //nolint:gosec // at most 32
		}
		r.skip(4 * s.count * s.chains)
	}
	if r.flag() { // resolutions
		r.skip(32 * (int(s.templates[s.count-1].spatial) + 1))
	}
	for t := range s.targets {
		for i := range s.count {
			if x := &s.templates[i]; dti(x.dtis, t) != notPresent {
				s.spatial[t] = max(s.spatial[t], x.spatial)
				s.temporal[t] = max(s.temporal[t], x.temporal)
			}
		}
	}
	return s, !r.bad
}

// readLayers reads template_layers().
func (s *structure) readLayers(r *bits) bool {
	var spatial, temporal int8
	for {
		if s.count == maxTemplates || spatial >= MaxSpatial || temporal >= MaxTemporal || r.bad {
			return false
		}
		s.templates[s.count] = template{spatial: spatial, temporal: temporal}
		s.count++
		switch r.read(2) {
		case 1:
			temporal++
		case 2:
			temporal = 0
			spatial++
		case 3:
			return !r.bad
		}
	}
}

func readDTIs(r *bits, targets int) (dtis uint64) {
	for t := range targets {
		dtis |= uint64(r.read(2)) << (2 * t)
	}
	return dtis
}

func dti(dtis uint64, target int) uint8 { return uint8(dtis>>(2*target)) & 3 }

// choose finds for every quality the decode target to relay: the highest active one within it, else the lowest active one.
func (s *structure) choose(active uint32) {
	for spatial := range int8(MaxSpatial) {
		for temporal := range int8(MaxTemporal) {
			best, inside := -1, false
			for t := range s.targets {
				if active>>t&1 == 0 {
					continue
				}
				fits := s.spatial[t] <= spatial && s.temporal[t] <= temporal
				if best < 0 || fits && !inside || fits == inside && s.above(t, best) == fits {
					best, inside = t, fits
				}
			}
			s.best[int(spatial)*MaxTemporal+int(temporal)] = uint8(max(best, 0)) //nolint:gosec // below maxTargets
		}
	}
}

// above tells whether decode target a is a higher quality than b.
func (s *structure) above(a, b int) bool {
	if s.spatial[a] != s.spatial[b] {
		return s.spatial[a] > s.spatial[b]
	}
	return s.temporal[a] > s.temporal[b]
}

// qualify derives from DTIs for which qualities a frame is needed, and which may begin with it.
func (s *structure) qualify(t *template) {
	t.needed, t.switches = 0, 0
	for q, target := range s.best {
		switch dti(t.dtis, int(target)) {
		case switching:
			t.switches |= 1 << q
			t.needed |= 1 << q
		case discardable, required:
			t.needed |= 1 << q
		}
	}
}

func (s *structure) discards(dtis uint64) bool {
	for t := range s.targets {
		if d := dti(dtis, t); d == switching || d == required {
			return false
		}
	}
	return true
}
