package config

import "reflect"

// Changed lists the options ("janus.ws_port") in which two configurations differ, in the order of their declaration.
func Changed(a, b *Config) []string {
	var all []string
	others := options(b)
	for i, o := range options(a) {
		if !reflect.DeepEqual(o.value.Interface(), others[i].value.Interface()) {
			all = append(all, o.path())
		}
	}
	return all
}

// Take sets one option of c, named as by [Changed], to what it is in from, and shares with it what a list holds. A name that is
// no option's does nothing.
func (c *Config) Take(from *Config, option string) {
	others := options(from)
	for i, o := range options(c) {
		if o.path() == option {
			o.value.Set(others[i].value)
		}
	}
}
