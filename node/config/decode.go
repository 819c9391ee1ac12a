package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// decoder reads values into a Config and gathers what is wrong with them.
type decoder struct {
	faults Faults
	depth  int // of nested aliases, which could refer to each other without end
}

// maxDepth bounds nesting; the configuration itself needs five.
const maxDepth = 16

// yaml decodes a whole document. source names it in faults.
func (d *decoder) yaml(source string, document []byte, c *Config) {
	dec := yaml.NewDecoder(bytes.NewReader(document))
	var root, more yaml.Node
	if err := dec.Decode(&root); errors.Is(err, io.EOF) {
		return // an empty file says nothing
	} else if err != nil {
		d.faults.add(source, "", "%s", strings.TrimPrefix(err.Error(), "yaml: "))
		return
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		d.faults.add(source, "", "more than one YAML document")
		return
	}
	d.node(source, root.Content[0], reflect.ValueOf(c).Elem(), "")
}

// text sets one option from the environment or a flag: a scalar, a list joined by commas, or YAML for lists of structs.
func (d *decoder) text(source, path string, v reflect.Value, s string) {
	if v.Kind() != reflect.Slice {
		d.scalar(source, path, v, s)
		return
	}
	if elem := v.Type().Elem(); elem.Kind() == reflect.Struct && !isText(elem) {
		var root yaml.Node
		if err := yaml.Unmarshal([]byte(s), &root); err != nil || len(root.Content) == 0 {
			d.faults.add(source, path, "want a YAML list such as [{room: 1}]")
			return
		}
		d.node(source, root.Content[0], v, path)
		return
	}
	list := reflect.MakeSlice(v.Type(), 0, 4)
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item != "" {
			e := reflect.New(v.Type().Elem()).Elem()
			d.scalar(source, path, e, item)
			list = reflect.Append(list, e)
		}
	}
	v.Set(list)
}

func (d *decoder) scalar(source, path string, v reflect.Value, s string) {
	if err := setText(v, s); err != nil {
		d.faults.add(source, path, "%v", err)
	}
}

// node decodes one YAML node. A null says nothing, so that a section whose options are all commented out is fine.
func (d *decoder) node(file string, n *yaml.Node, v reflect.Value, path string) {
	source := fmt.Sprintf("%s:%d", file, n.Line)
	d.depth++
	defer func() { d.depth-- }()
	if d.depth > maxDepth {
		d.faults.add(source, path, "nested too deeply")
		return
	}
	switch {
	case n.Kind == yaml.AliasNode:
		d.node(file, n.Alias, v, path)
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
	case v.Kind() == reflect.Struct && !isText(v.Type()):
		if n.Kind != yaml.MappingNode {
			d.faults.add(source, path, "want a mapping (key: value)")
			return
		}
		d.mapping(file, n, v, path)
	case v.Kind() == reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			d.faults.add(source, path, "want a list ([a, b], or a line with a dash each)")
			return
		}
		list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
		for i, item := range n.Content {
			if room, ok := reflect.TypeAssert[*Room](list.Index(i).Addr()); ok {
				*room = DefaultRoom()
			}
			d.node(file, item, list.Index(i), fmt.Sprintf("%s[%d]", path, i))
		}
		v.Set(list)
	case n.Kind != yaml.ScalarNode:
		d.faults.add(source, path, "want a single value")
	default:
		d.scalar(source, path, v, n.Value)
	}
}

func (d *decoder) mapping(file string, n *yaml.Node, v reflect.Value, path string) {
	byKey := map[string]reflect.Value{}
	var keys []string
	for key, f := range fields(v) {
		byKey[key] = f.value
		keys = append(keys, key)
		if isSecret(f.value.Type()) {
			keys = append(keys, key+fileSuffix)
		}
	}
	said := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i].Value, n.Content[i+1]
		source := fmt.Sprintf("%s:%d", file, n.Content[i].Line)
		at := strings.TrimPrefix(path+"."+key, ".")
		target, known := byKey[key]
		name, fromFile := strings.CutSuffix(key, fileSuffix)
		if t, ok := byKey[name]; !known && fromFile && ok && isSecret(t.Type()) {
			target, known = t, true
		} else {
			name, fromFile = key, false
		}
		if !known {
			d.faults.add(source, "", "%s", unknownKey(path, key, keys))
			continue
		}
		if line, twice := said[name]; twice {
			d.faults.add(source, at, "said twice, first on line %d", line)
			continue
		}
		said[name] = n.Content[i].Line
		if fromFile {
			d.secretFile(source, at, target, value.Value)
			continue
		}
		d.node(file, value, target, at)
	}
}

// maxSecretFile bounds what is read of a file that is said to hold a secret.
const maxSecretFile = 64 << 10

// secretFile sets a secret, or a list of them (one a line, # begins a comment line), from a file.
func (d *decoder) secretFile(source, path string, v reflect.Value, name string) {
	f, err := os.Open(filepath.Clean(name))
	if err != nil {
		d.faults.add(source, path, "%v", err)
		return
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	switch {
	case err != nil:
		d.faults.add(source, path, "%v", err)
	case len(b) > maxSecretFile:
		d.faults.add(source, path, "%s is longer than %d bytes", name, maxSecretFile)
	case v.Type() == secretType:
		s := strings.TrimRight(string(b), "\r\n")
		if s == "" {
			d.faults.add(source, path, "%s is empty", name)
		}
		v.SetString(s)
	default:
		var list []Secret
		for line := range strings.Lines(string(b)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				list = append(list, Secret(line))
			}
		}
		v.Set(reflect.ValueOf(list))
	}
}

// unknownKey is the fault of a key that its section, at path, does not have. If none of the section's is like it, it may be another's.
func unknownKey(path, key string, keys []string) string {
	at := func(key string) string { return strings.TrimPrefix(path+"."+key, ".") }
	if meant := nearest(key, keys); meant != "" {
		return unknown("key", at(key), at(meant))
	}
	c := Default()
	var elsewhere []string
	for _, o := range options(&c) {
		if o.key == key {
			elsewhere = append(elsewhere, o.path())
		}
	}
	if len(elsewhere) == 1 {
		return unknown("key", at(key), elsewhere[0])
	}
	return unknown("key", at(key), "")
}
