package videoroom

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// writeRecord encodes the options of a room for the mesh.
func writeRecord(c RoomConfig) ([]byte, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode room %s: %w", c.ID, err)
	}
	if len(b) > MaxMeshRecord {
		return nil, refuse(codeUnknown, "Too much to keep of room %s", c.ID)
	}
	return b, nil
}

// readRecord decodes the options of a room that another node may have written.
func readRecord(id ID, record []byte) (RoomConfig, error) {
	if len(record) > MaxMeshRecord {
		return RoomConfig{}, fmt.Errorf("record of %d bytes", len(record))
	}
	c := DefaultRoom(id.String())
	if err := json.Unmarshal(record, &c); err != nil {
		return RoomConfig{}, fmt.Errorf("decode record: %w", err)
	}
	if len(c.Allowed) > maxTokens {
		return RoomConfig{}, fmt.Errorf("record with %d tokens", len(c.Allowed))
	}
	if err := c.validate(); err != nil {
		return RoomConfig{}, fmt.Errorf("record: %w", err)
	}
	if err := checkMutes(c.Mutes); err != nil {
		return RoomConfig{}, fmt.Errorf("record: %w", err)
	}
	c.ID = id.String()
	c.normal()
	return c, nil
}

// refresh takes over the record as it is now.
func (r *room) refresh() {
	r.mu.Lock()
	defer r.mu.Unlock()
	record := r.held.mesh.Record()
	if record == nil || r.destroyed || r.held.closed {
		return
	}
	cfg, err := readRecord(r.id, record)
	if err != nil {
		r.held.complain(err)
		return
	}
	r.held.record = record
	r.adopt(cfg)
}

// recordFields are the names of the options that this version knows.
var recordFields = func() map[string]bool {
	known := make(map[string]bool)
	for f := range reflect.TypeFor[RoomConfig]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		known[name] = true
	}
	return known
}()

// carryOver adds what an earlier record says and this version does not know: a newer one wrote it, and wants it back.
func carryOver(earlier, record []byte) ([]byte, error) {
	var before, now map[string]json.RawMessage
	if err := json.Unmarshal(earlier, &before); err != nil {
		return nil, fmt.Errorf("decode earlier record: %w", err)
	}
	if err := json.Unmarshal(record, &now); err != nil {
		return nil, fmt.Errorf("decode record: %w", err)
	}
	unknown := false
	for name, v := range before {
		if !recordFields[name] {
			now[name], unknown = v, true
		}
	}
	if !unknown {
		return record, nil
	}
	b, err := json.Marshal(now)
	if err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	return b, nil
}
