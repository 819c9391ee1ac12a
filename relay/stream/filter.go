package stream

import "cardea/relay/codec"

// filter decides which packets of one encoding belong to the spatial and temporal layers that are relayed. Layers are left
// at the next picture, and entered where the stream allows it.
type filter struct {
	wantSpatial, wantTemporal int8 // ceilings
	spatial, temporal         int8 // relayed now
	stamp                     uint32
	started                   bool
	needKey                   bool // a layer that is wanted, or unwanted, can only be changed at a keyframe
	needSync                  bool // a temporal layer is wanted that could not be entered yet
}

// restart forgets the pictures so far; the next packet begins a keyframe, where all layers can be entered.
func (f *filter) restart() {
	f.started, f.needKey, f.needSync = false, false, false
	f.spatial, f.temporal = f.wantSpatial, f.wantTemporal
}

// want sets the ceilings; they take effect with the next pictures.
func (f *filter) want(spatial, temporal int8) {
	f.wantSpatial, f.wantTemporal = spatial, temporal
	f.needKey, f.needSync = false, false
}

// next takes the newest packet of the encoding and tells whether it is relayed.
func (f *filter) next(p *Packet) bool {
	newPicture := !f.started || p.Timestamp != f.stamp
	if newPicture {
		f.started, f.stamp = true, p.Timestamp
	}
	i := &p.Info
	switch {
	case i.Keyframe:
		f.restartAt(p.Timestamp)
	case newPicture:
		f.leave(i)
		f.enter(i)
	case i.HasTargets: // a frame of a higher spatial layer may be where its temporal layers can be entered
		f.enter(i)
	}
	return f.relays(i)
}

func (f *filter) restartAt(stamp uint32) {
	f.restart()
	f.started, f.stamp = true, stamp
}

// leave gives up layers that are no longer wanted. Without flexible mode a VP9 receiver counts on what the keyframe
// announced, so spatial layers are left at the next keyframe only.
func (f *filter) leave(i *codec.Info) {
	f.temporal = min(f.temporal, f.wantTemporal)
	if f.spatial > f.wantSpatial {
		if i.Flexible || i.HasTargets {
			f.spatial = f.wantSpatial
		} else {
			f.needKey = i.Spatial >= 0
		}
	}
}

// enter takes up a temporal layer where the stream says that a receiver may.
func (f *filter) enter(i *codec.Info) {
	if f.spatial < f.wantSpatial && i.Spatial >= 0 {
		f.needKey = true
	}
	if f.temporal >= f.wantTemporal || !i.FrameStart {
		return
	}
	if i.HasTargets {
		for t := f.wantTemporal; t > f.temporal; t-- {
			if i.Switch&codec.Target(f.spatial, t) != 0 {
				f.temporal, f.needSync = t, false
				return
			}
		}
		f.needSync = true
		return
	}
	if i.Temporal <= f.temporal || i.Temporal > f.wantTemporal {
		return
	}
	if i.LayerSync {
		f.temporal, f.needSync = i.Temporal, false
		return
	}
	f.needSync = true
}

// relays tells whether a packet belongs to the present layers. What tells no layer is relayed.
func (f *filter) relays(i *codec.Info) bool {
	if i.HasTargets {
		return i.Needed&codec.Target(f.spatial, f.temporal) != 0
	}
	return i.Spatial <= f.spatial && i.Temporal <= f.temporal
}

// ends tells whether a packet ends what the receiver gets of its picture: the highest relayed spatial layer.
func (f *filter) ends(i *codec.Info) bool {
	return i.Spatial >= 0 && i.FrameEnd && i.Spatial == f.spatial
}
