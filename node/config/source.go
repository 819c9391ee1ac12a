package config

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
)

// Sources gathers what flags say until [Sources.Load] puts it together with the file and the environment.
// Not safe for concurrent use.
type Sources struct {
	file  string
	flags []assignment
}

// assignment is one flag as it was given.
type assignment struct {
	flag, text string
}

// DefaultFiles are looked for, in this order, when no file is named.
var DefaultFiles = []string{"cardea.yaml", "/etc/cardea/cardea.yaml"}

// maxFile bounds the configuration file, bytes.
const maxFile = 4 << 20

// Flags defines a flag for every option on fs, and --config. Values are checked by Load, together with all others.
func Flags(fs *flag.FlagSet) *Sources {
	s := &Sources{}
	fs.StringVar(&s.file, "config", "", "")
	c := Default()
	for _, o := range options(&c) {
		name, set := o.flag(), fs.Func
		if isSecret(o.value.Type()) {
			name += "-file" // a secret itself would show in every list of processes
		} else if o.value.Kind() == reflect.Bool {
			set = fs.BoolFunc
		}
		set(name, "", func(text string) error {
			s.flags = append(s.flags, assignment{name, text})
			return nil
		})
	}
	return s
}

// Load reads file, environment (as os.Environ gives it) and flags over the defaults and validates the result. It returns
// the file read, if any. The error is a [Faults] when the configuration is wrong.
func (s *Sources) Load(environ []string) (c *Config, file string, err error) {
	c = new(Default())
	d := &decoder{}
	env := map[string]string{}
	for _, e := range environ {
		if name, value, ok := strings.Cut(e, "="); ok && strings.HasPrefix(name, envPrefix) {
			env[name] = value
		}
	}
	document, file, err := s.readFile(env[envPrefix+"CONFIG"])
	if err != nil {
		return nil, file, err
	}
	d.yaml(file, document, c)
	d.environment(env, c)
	byFlag := map[string]option{}
	for _, o := range options(c) {
		byFlag[o.flag()] = o
	}
	for _, a := range s.flags {
		if o, ok := byFlag[a.flag]; ok {
			d.text("--"+a.flag, o.path(), o.value, a.text)
		} else {
			o = byFlag[strings.TrimSuffix(a.flag, "-file")]
			d.secretFile("--"+a.flag, o.path()+fileSuffix, o.value, a.text)
		}
	}
	if len(d.faults) == 0 { // with values missing, more faults would only mislead
		d.faults = c.validate()
	}
	return c, file, d.faults.err()
}

// readFile returns the configuration file that was named by flag or environment, or the first default one there is.
func (s *Sources) readFile(env string) (document []byte, name string, err error) {
	names, named := DefaultFiles, false
	for _, n := range []string{env, s.file} {
		if n != "" {
			names, named = []string{n}, true
		}
	}
	for _, name = range names {
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) && !named {
			continue
		}
		if err == nil && info.Size() > maxFile {
			return nil, name, Faults{{Source: name, Problem: fmt.Sprintf("longer than %d bytes", maxFile)}}
		}
		if err == nil {
			document, err = os.ReadFile(name)
		}
		if err != nil {
			return nil, name, Faults{{Problem: err.Error()}}
		}
		return document, name, nil
	}
	return nil, "", nil
}

// environment sets what variables say. One that begins like a section and names no option is a fault: it is a misspelling.
func (d *decoder) environment(env map[string]string, c *Config) {
	var names, sections []string
	for _, o := range options(c) {
		names = append(names, o.env())
		sections = append(sections, envSection(o.section))
		value, direct := env[o.env()]
		delete(env, o.env())
		if direct {
			d.text(o.env(), o.path(), o.value, value)
		}
		if !isSecret(o.value.Type()) {
			continue
		}
		name := o.env() + strings.ToUpper(fileSuffix)
		if file, ok := env[name]; ok && direct {
			d.faults.add(name, o.path(), "%s is set too", o.env())
		} else if ok {
			d.secretFile(name, o.path()+fileSuffix, o.value, file)
		}
		delete(env, name)
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		for _, section := range sections {
			if strings.HasPrefix(name, section) {
				d.faults.add("", "", "%s", Unknown("variable", name, names))
				break
			}
		}
	}
}

// Parse reads one YAML document over the defaults and validates the result. name stands in faults.
func Parse(name string, document []byte) (*Config, error) {
	c := new(Default())
	d := &decoder{}
	d.yaml(name, document, c)
	if len(d.faults) == 0 {
		d.faults = c.validate()
	}
	return c, d.faults.err()
}
