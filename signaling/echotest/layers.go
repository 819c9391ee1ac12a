package echotest

import "cardea/relay/plane"

// layers are those that come back just now; -1 while unknown.
type layers struct{ substream, temporal, spatialSVC, temporalSVC int8 }

var noLayers = layers{-1, -1, -1, -1}

// layersChanged tells the client which layers it gets now, of simulcast or of SVC.
func (e *echo) layersChanged(ev plane.Event) {
	for i := range e.lines {
		l := &e.lines[i]
		if l.mid != ev.Mid {
			continue
		}
		substream, temporal := take(&l.layers.substream, ev.Substream), take(&l.layers.temporal, ev.Temporal)
		if substream || temporal {
			e.tell(l, "substream", l.layers.substream, "temporal", l.layers.temporal)
		}
		spatial, temporal := take(&l.layers.spatialSVC, ev.SpatialLayer), take(&l.layers.temporalSVC, ev.TemporalSVC)
		if spatial || temporal {
			e.tell(l, "spatial_layer", l.layers.spatialSVC, "temporal_layer", l.layers.temporalSVC)
		}
		return
	}
}

// take takes over a layer that changed (-1: it did not).
func take(now *int8, changed int8) bool {
	if changed < 0 || changed == *now {
		return false
	}
	*now = changed
	return true
}

func (e *echo) tell(l *line, name1 string, layer1 int8, name2 string, layer2 int8) {
	data := object{"echotest": "event", "videocodec": l.codec}
	if layer1 >= 0 {
		data[name1] = layer1
	}
	if layer2 >= 0 {
		data[name2] = layer2
	}
	e.handle.Push("", data, nil)
}

// Query shows the state in handle_info. It may be called from any goroutine.
func (e *echo) Query() any { return *e.info.Load() }

// publishInfo makes what Query shows; the object is never changed afterwards.
func (e *echo) publishInfo() {
	info := object{"audio_active": e.audio, "video_active": e.video, "bitrate": e.bitrate, "slowlink_count": e.slowLinks}
	for i := range e.lines {
		l := &e.lines[i]
		switch {
		case l.kind == plane.Audio && l.codec != "":
			info["audio_codec"] = l.codec
			if l.red {
				info["audio_red"] = true
			}
		case l.kind == plane.Video && l.codec != "":
			info["video_codec"] = l.codec
			e.describeLayers(info, l)
		}
	}
	if e.e2ee {
		info["e2ee"] = true
	}
	e.info.Store(&info)
}

func (e *echo) describeLayers(info object, l *line) {
	if l.simulcast {
		info["simulcast"] = true
		info["substream"], info["substream-target"] = l.layers.substream, e.substream
		info["temporal-layer"], info["temporal-layer-target"] = l.layers.temporal, e.temporal
		if e.fallback > 0 {
			info["fallback"] = e.fallback.Microseconds()
		}
	}
	if l.svc {
		info["svc"] = true
		info["spatial-layer"], info["spatial-layer-target"] = l.layers.spatialSVC, e.spatialSVC
		info["temporal-layer"], info["temporal-layer-target"] = l.layers.temporalSVC, e.temporalSVC
	}
}
