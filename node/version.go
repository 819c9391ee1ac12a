package node

import (
	"runtime/debug"
	"strings"
)

// version is set by the build: -ldflags "-X cardea/node.version=...".
var version string

// Version returns the version of this build: what the build was told, else the revision the Go tool recorded.
func Version() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision, dirty := "", ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			dirty = map[string]string{"true": "-dirty"}[s.Value]
		}
	}
	if revision != "" {
		return revision + dirty
	}
	return strings.Trim(info.Main.Version, "()")
}
