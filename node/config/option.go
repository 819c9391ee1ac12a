package config

import (
	"encoding"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// option is one leaf of a Config: a field of a section, or of a section in a section.
type option struct {
	section string        // "janus", "events.kafka"
	key     string        // "ws_port"
	field   string        // "Janus.WSPort", the name its comment is found under
	value   reflect.Value // settable when the options are those of a pointer's Config
}

// options lists the leaves of c in the order of their declaration; setting their values sets c.
func options(c *Config) []option {
	var all []option
	for section, v := range fields(reflect.ValueOf(c).Elem()) {
		all = append(all, leaves(section, v.value)...)
	}
	return all
}

// leaves lists the options of a section, and after them those of the sections in it.
func leaves(section string, v reflect.Value) []option {
	var own, inner []option
	for key, value := range fields(v) {
		if t := value.value.Type(); t.Kind() == reflect.Struct && !isText(t) {
			inner = append(inner, leaves(section+"."+key, value.value)...)
			continue
		}
		own = append(own, option{section, key, v.Type().Name() + "." + value.name, value.value})
	}
	return append(own, inner...)
}

type field struct {
	name  string
	value reflect.Value
}

// fields iterates over the fields of a struct with their yaml keys.
func fields(v reflect.Value) func(yield func(string, field) bool) {
	return func(yield func(string, field) bool) {
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !yield(f.Tag.Get("yaml"), field{f.Name, v.Field(i)}) {
				return
			}
		}
	}
}

func (o option) path() string { return o.section + "." + o.key }

func (o option) env() string { return envSection(o.section) + strings.ToUpper(o.key) }

// envSection begins the names of a section's variables.
func envSection(section string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(section, ".", "_")) + "_"
}

// flag is the option's flag without dashes. The node section, about the node itself, lends no prefix.
func (o option) flag() string {
	name := o.key
	if o.section != "node" {
		name = o.section + "_" + name
	}
	return strings.NewReplacer("_", "-", ".", "-").Replace(name)
}

const (
	envPrefix  = "CARDEA_"
	fileSuffix = "_file" // of the key that names a file with a secret instead of holding the secret
)

var (
	secretType   = reflect.TypeFor[Secret]()
	secretsType  = reflect.TypeFor[[]Secret]()
	durationType = reflect.TypeFor[time.Duration]()
)

func isSecret(t reflect.Type) bool { return t == secretType || t == secretsType }

// kind is the word for an option's values in help texts.
func kind(t reflect.Type) string {
	switch t {
	case durationType:
		return "DURATION"
	case reflect.TypeFor[Size]():
		return "SIZE"
	case reflect.TypeFor[Bitrate]():
		return "BITRATE"
	case reflect.TypeFor[netip.Addr]():
		return "ADDRESS"
	case reflect.TypeFor[Network]():
		return "NETWORK"
	case reflect.TypeFor[Mapping]():
		return "PUBLIC[/LOCAL]"
	case reflect.TypeFor[slog.Level]():
		return "LEVEL"
	}
	switch t.Kind() {
	case reflect.Uint16:
		return "PORT"
	case reflect.Int, reflect.Float64:
		return "NUMBER"
	case reflect.Bool:
		return "BOOL"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Struct && !isText(t.Elem()) {
			return "YAML"
		}
		return kind(t.Elem()) + ",..."
	default:
		return "TEXT"
	}
}

func isText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// setText sets a scalar from text. It is the one parser of values for file, environment and flags.
func setText(v reflect.Value, text string) error {
	if u, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr()); ok {
		err := u.UnmarshalText([]byte(text))
		switch v.Addr().Interface().(type) { // these two are not ours, and their errors speak of parsers
		case *netip.Addr:
			if err != nil {
				return fmt.Errorf("%q: %w", text, errAddress)
			}
		case *slog.Level:
			if err != nil {
				return fmt.Errorf("%q: want debug, info, warn or error", text)
			}
		}
		return err
	}
	if v.Type() == durationType {
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%q: want a duration with its unit, such as 500ms, 10s or 1m30s", text)
		}
		v.SetInt(int64(d))
		return nil
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, ok := map[string]bool{"true": true, "yes": true, "on": true, "1": true, "false": false, "no": false, "off": false, "0": false}[strings.ToLower(text)]
		if !ok {
			return fmt.Errorf("%q: want true or false", text)
		}
		v.SetBool(b)
	case reflect.Uint16:
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return fmt.Errorf("%q: want a port, 0 to 65535", text)
		}
		v.SetUint(n)
	case reflect.Int:
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return fmt.Errorf("%q: want a whole number", text)
		}
		v.SetInt(n)
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("%q: want a number", text)
		}
		v.SetFloat(f)
	default:
		return fmt.Errorf("cannot be set from text")
	}
	return nil
}

// text is the inverse of setText for help texts and the sample file; secrets stay hidden.
func text(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		s := x.String()
		if strings.HasSuffix(s, "m0s") { // 1m0s
			s = strings.TrimSuffix(s, "0s")
		}
		if strings.HasSuffix(s, "h0m") {
			s = strings.TrimSuffix(s, "0m")
		}
		return s
	case slog.Level:
		return strings.ToLower(x.String())
	case encoding.TextMarshaler:
		b, _ := x.MarshalText() // none of our types fails
		return string(b)
	}
	if v.Kind() == reflect.Slice {
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = quoted(text(v.Index(i)))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return fmt.Sprint(v.Interface())
}

// quoted puts text in quotes where YAML would read it as something else.
func quoted(s string) string {
	if s == "" || strings.ContainsAny(s, ":#{}[],&*!|>'\"%@`") {
		return strconv.Quote(s)
	}
	return s
}
