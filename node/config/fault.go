package config

import (
	"fmt"
	"strings"
)

// Fault is one thing that is wrong with a configuration.
type Fault struct {
	Source  string // where it was said: "cardea.yaml:12", "CARDEA_LOG_LEVEL" or "--log-level"; empty when in no one place
	Path    string // the option, "janus.ws_port"; empty when it is not about one
	Problem string // what is wrong and what is wanted instead; never a secret
}

// String returns the fault as one line.
func (f Fault) String() string {
	var parts []string
	for _, p := range []string{f.Source, f.Path, f.Problem} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, ": ")
}

// Faults is an error that tells all that is wrong, one fault a line.
type Faults []Fault

// Error returns the faults, one a line.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].String()
	}
	return strings.Join(lines, "\n")
}

func (f *Faults) add(source, path, format string, args ...any) {
	*f = append(*f, Fault{source, path, fmt.Sprintf(format, args...)})
}

// err returns nil, not an empty list in an interface, when nothing is wrong.
func (f Faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}
