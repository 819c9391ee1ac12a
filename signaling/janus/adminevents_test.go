package janus

import (
	"encoding/json"
	"testing"

	"cardea/signaling/events"
)

// TestEventHandlerQuery pins what an operator may ask of an event handler, and what not.
func TestEventHandlerQuery(t *testing.T) {
	var types events.Type
	var grouping bool
	h := EventHandler{
		Types: func() events.Type { return types }, SetTypes: func(n events.Type) { types = n }, SetGrouping: func(on bool) { grouping = on },
	}
	for _, tt := range []struct {
		before   events.Type
		request  string
		reply    string
		after    events.Type
		grouping bool
	}{
		{0, `{"request":"tweak","events":"handles,external","grouping":true}`, `{"result":200}`, events.Handle | events.External, true},
		{0, `{"request":"tweak","events":"all"}`, `{"result":200}`, events.AllJanus, false},
		{events.User, `{"request":"tweak","events":"all"}`, `{"result":200}`, events.All, false},
		{events.User, `{"request":"tweak","events":"none"}`, `{"result":200}`, 0, false},
		{events.Core, `{"request":"tweak","events":"nonsense,jsep,users"}`, `{"result":200}`, events.JSEP | events.User, false},
		{events.Core, `{"request":"tweak"}`, `{"result":200}`, events.Core, false},
		{events.Core, `{"request":"tweak","events":5}`, `{"error":"Invalid element type (events should be a string)","error_code":413}`, events.Core, false},
		{0, `{"request":"tweak","grouping":"x"}`, `{"error":"Invalid element type (grouping should be a boolean)","error_code":413}`, 0, false},
		{0, `{"request":"tweak","backend":"http://169.254.169.254/"}`, `{"error":"Only the configuration can change backend","error_code":499}`, 0, false},
		{0, `{"request":"nonsense"}`, `{"error":"Unknown request 'nonsense'","error_code":411}`, 0, false},
		{0, `{"request":5}`, `{"error":"Invalid element type (request should be a string)","error_code":413}`, 0, false},
		{0, `{}`, `{"error":"Missing mandatory element (request)","error_code":412}`, 0, false},
	} {
		types, grouping = tt.before, false
		o, fault := ParseOne([]byte(tt.request))
		if fault != nil {
			t.Fatal(fault)
		}
		b, err := json.Marshal(h.query(o))
		if err != nil || string(b) != tt.reply || types != tt.after || grouping != tt.grouping {
			t.Errorf("%s: %s, %v, grouping %v, %v", tt.request, b, types, grouping, err)
		}
	}
	fixed, _ := json.Marshal(EventHandler{}.query(Object{"request": "tweak", "events": "all"}))
	if string(fixed) != `{"error":"Only the configuration can change events","error_code":499}` {
		t.Errorf("a handler that cannot be changed: %s", fixed)
	}
}
