package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/template"
	"time"
)

// Node is what entries tell, and what their templates are made from. Ports are 0 where the node has none.
type Node struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Cluster   string    `json:"cluster"`
	Region    string    `json:"region"`
	Version   string    `json:"version"`
	State     string    `json:"state"`          // "ready"; what is "starting" or "draining" takes no new clients
	Load      float64   `json:"load"`           // 0 to 1, of what it takes
	Capacity  int       `json:"capacity"`       // clients it is meant for
	Host      string    `json:"host"`           // public name, or Address
	Address   string    `json:"address"`        // public: IPv4, or else IPv6
	IPv4      string    `json:"ipv4,omitempty"` // public
	IPv6      string    `json:"ipv6,omitempty"`
	Latitude  float64   `json:"latitude"`
	Longitude float64   `json:"longitude"`
	WS        uint16    `json:"ws,omitempty"` // ports of the Janus API
	WSS       uint16    `json:"wss,omitempty"`
	HTTP      uint16    `json:"http,omitempty"`
	HTTPS     uint16    `json:"https,omitempty"`
	Media     uint16    `json:"media,omitempty"` // STUN, TURN and the media
	TURNS     uint16    `json:"turns,omitempty"`
	Started   time.Time `json:"started"`
}

// Ready is the state of a node that takes clients.
const Ready = "ready"

// Entry is something to keep in Redis.
type Entry struct {
	// Key and Value are templates over a [Node], with the function json for values in JSON.
	Key, Value string
	// Hash makes the entry a hash: Value is a JSON object, its members the fields.
	Hash bool
	// Shared says that other nodes write under the same key: whoever has it keeps it. Not for hashes.
	Shared bool
	// Draining keeps the entry while the node drains.
	Draining bool
}

// own is the entry of every node.
var own = Entry{Key: "cardea:node:{{.ID}}", Value: "{{json .}}", Draining: true}

const (
	maxKey   = 512
	maxValue = 16 << 10
)

// ErrEntry is wrapped by the errors of entries that cannot be.
var ErrEntry = errors.New("registry entry")

// layout is an entry ready to be made.
type layout struct {
	Entry
	key, value *template.Template
}

func newLayout(e Entry) (*layout, error) {
	if e.Hash && e.Shared {
		return nil, fmt.Errorf("%w %q: a hash cannot be shared", ErrEntry, e.Key)
	}
	l := &layout{Entry: e}
	for _, t := range []struct {
		name, text string
		to         **template.Template
	}{{"key", e.Key, &l.key}, {"value", e.Value, &l.value}} {
		parsed, err := template.New(t.name).Funcs(template.FuncMap{"json": toJSON}).Parse(t.text)
		if err != nil {
			return nil, fmt.Errorf("%w %q: %w", ErrEntry, e.Key, err)
		}
		*t.to = parsed
	}
	return l, nil
}

func toJSON(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

// item is an entry as it is to be in Redis.
type item struct {
	key    string
	value  string
	fields map[string]string // of a hash; else nil
	shared bool
}

// make fills the templates in.
func (l *layout) make(n *Node) (item, error) {
	it := item{shared: l.Shared}
	var err error
	if it.key, err = fill(l.key, n, maxKey); err != nil {
		return it, err
	}
	if it.value, err = fill(l.value, n, maxValue); err != nil {
		return it, err
	}
	if l.Hash {
		it.fields, err = fieldsOf(it.value)
	}
	return it, err
}

func fill(t *template.Template, n *Node, limit int) (string, error) {
	var b strings.Builder
	if err := t.Execute(&b, n); err != nil {
		return "", fmt.Errorf("%w: %w", ErrEntry, err)
	}
	if b.Len() == 0 || b.Len() > limit {
		return "", fmt.Errorf("%w: a %s of %d bytes, want 1 to %d", ErrEntry, t.Name(), b.Len(), limit)
	}
	return b.String(), nil
}

// fieldsOf takes a JSON object apart: strings as they are, everything else as JSON.
func fieldsOf(object string) (map[string]string, error) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal([]byte(object), &raw); err != nil || len(raw) == 0 {
		return nil, fmt.Errorf("%w: a hash needs a JSON object with members", ErrEntry)
	}
	fields := make(map[string]string, len(raw))
	for name, v := range raw {
		var s string
		if json.Unmarshal(v, &s) != nil || v[0] != '"' {
			s = string(v)
		}
		fields[name] = s
	}
	return fields, nil
}
