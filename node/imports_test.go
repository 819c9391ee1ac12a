package node

import (
	"bufio"
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// ban says what packages must not depend on, and why. Patterns are import paths; a trailing /... takes in what lies
// below, and path itself.
type ban struct {
	packages string
	direct   bool     // only what the packages import themselves; else all they depend on
	banned   []string // what they must not depend on
	except   []string // but may
	reason   string
}

var bans = []ban{
	{
		"cardea/relay/plane", false,
		[]string{"cardea/..."},
		nil,
		"the seam imports nothing of ours, so that both sides can",
	},
	{
		"cardea/relay/plane", false,
		[]string{"github.com/...", "golang.org/..."},
		nil,
		"what crosses the seam is plain data and no library's",
	},
	{
		"cardea/signaling/...", false,
		[]string{"cardea/relay/..."},
		[]string{"cardea/relay/plane"},
		"of the media plane signaling knows only the seam: it may run on another machine",
	},
	{
		"cardea/signaling/...", false,
		[]string{"cardea/mesh/...", "cardea/node/...", "cardea/geo/..."},
		nil,
		"signaling reaches rooms on other nodes through an interface of its own, which the mesh fulfils",
	},
	{
		"cardea/signaling/...", true,
		[]string{"github.com/pion/..."},
		[]string{"github.com/pion/sdp/..."},
		"SDP is all that signaling shares with WebRTC",
	},
	{
		"cardea/relay/...", false,
		[]string{"cardea/signaling/...", "cardea/mesh/...", "cardea/node/...", "cardea/geo/..."},
		nil,
		"the media plane implements the seam and knows nobody above it",
	},
	{
		"cardea/relay/...", true,
		[]string{"github.com/pion/sdp/...", "github.com/pion/webrtc/..."},
		nil,
		"SDP is signaling's, and PeerConnection wraps every packet; the media plane stands on pion's parts",
	},
	{
		"cardea/relay/udp", false,
		[]string{"cardea/..."},
		nil,
		"sockets know nobody above them",
	},
	{
		"cardea/relay/stream", false,
		[]string{"cardea/..."},
		[]string{"cardea/relay/plane", "cardea/relay/udp", "cardea/relay/rtp", "cardea/relay/codec"},
		"a stream is a stream wherever it was published, and whoever takes it",
	},
	{
		"cardea/signaling/events/spool", true,
		[]string{"cardea/..."},
		nil,
		"what is kept are bytes, whatever they tell of",
	},
	{
		"cardea/signaling/events/...", true,
		[]string{"cardea/signaling/janus/...", "cardea/signaling/videoroom/...", "cardea/signaling/transport/..."},
		nil,
		"events go out, and nobody on their way reaches back",
	},
	{
		"cardea/mesh/...", false,
		[]string{"cardea/signaling/...", "cardea/node/..."},
		nil,
		"the mesh fulfils signaling's interfaces without knowing who asks",
	},
	{
		"cardea/relay/link", false,
		[]string{"cardea/..."},
		[]string{"cardea/relay/link/...", "cardea/relay/shield/...", "cardea/relay/plane", "cardea/relay/stream", "cardea/relay/udp", "cardea/relay/rtp", "cardea/relay/rtcp", "cardea/relay/codec"},
		"a link carries streams and messages and does not know what they are for",
	},
	{
		"cardea/mesh/room", true,
		[]string{"cardea/relay/..."},
		[]string{"cardea/relay/link/..."},
		"rooms are opaque: what is published in them is for others to know",
	},
	{
		"cardea/mesh/route", true,
		[]string{"cardea/..."},
		[]string{"cardea/relay/link/...", "cardea/mesh/rendezvous"},
		"the way through the mesh follows from measurements alone",
	},
	{
		"cardea/geo/...", false,
		[]string{"cardea/..."},
		nil,
		"finding the nearest node needs addresses and coordinates, nothing of ours",
	},
	{
		"cardea/node/config", false,
		[]string{"cardea/..."},
		nil,
		"a configuration is plain data; the node translates it for each plane",
	},
	{
		"cardea/node/console", false,
		[]string{"cardea/..."},
		[]string{"cardea/relay/plane"},
		"the console shows what it is given",
	},
	{
		"cardea/...", true,
		[]string{"github.com/stretchr/testify/..."},
		nil,
		"one way to test: the standard library and go-cmp",
	},
}

// matches tells whether an import path fits a pattern. A major version counts as lying below.
func matches(pattern, path string) bool {
	base, below := strings.CutSuffix(pattern, "/...")
	return path == base || below && strings.HasPrefix(path, base+"/")
}

// TestImports states how dependencies run. Own packages lie in "cardea/"; of others, direct imports count.
func TestImports(t *testing.T) {
	imports := graph(t)
	if len(imports["cardea/node"]) == 0 {
		t.Fatal("the import graph lacks this package")
	}
	for _, b := range bans {
		for pkg := range imports {
			if !matches(b.packages, pkg) {
				continue
			}
			for _, dep := range dependencies(imports, pkg, b.direct) {
				if matchesAny(b.banned, dep) && !matchesAny(b.except, dep) && !matches(b.packages, dep) {
					t.Errorf("%s depends on %s: %s", pkg, dep, b.reason)
				}
			}
		}
	}
}

// TestMeeting wants node to be the only place where signaling and the media plane meet.
func TestMeeting(t *testing.T) {
	imports := graph(t)
	for pkg := range imports {
		if matches("cardea/node/...", pkg) || matches("cardea/e2e/...", pkg) {
			continue
		}
		var media, signaling bool
		for _, dep := range dependencies(imports, pkg, false) {
			media = media || matches("cardea/relay/...", dep) && dep != "cardea/relay/plane"
			signaling = signaling || matches("cardea/signaling/...", dep)
		}
		if media && signaling {
			t.Errorf("%s depends on both signaling and the media plane: only node wires them", pkg)
		}
	}
}

func matchesAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, path) })
}

// graph returns what each package of the module imports, tests left out: those may use anything as an oracle.
func graph(t *testing.T) map[string][]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "cardea/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	imports := map[string][]string{}
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		if f := strings.Fields(s.Text()); len(f) > 0 {
			imports[f[0]] = f[1:]
		}
	}
	return imports
}

// dependencies returns what a package imports and, unless direct, what its own packages' imports import in turn.
func dependencies(imports map[string][]string, pkg string, direct bool) []string {
	if direct {
		return imports[pkg]
	}
	seen := map[string]bool{}
	var visit func(p string)
	visit = func(p string) {
		for _, dep := range imports[p] {
			if !seen[dep] {
				seen[dep] = true
				visit(dep)
			}
		}
	}
	visit(pkg)
	all := make([]string, 0, len(seen))
	for dep := range seen {
		all = append(all, dep)
	}
	return all
}

// TestBansBite checks the checker: a graph that breaks a ban through another package must be noticed.
func TestBansBite(t *testing.T) {
	imports := map[string][]string{
		"cardea/signaling/janus": {"cardea/relay/plane", "cardea/signaling/sdp"},
		"cardea/signaling/sdp":   {"cardea/relay/stream"},
	}
	if got := dependencies(imports, "cardea/signaling/janus", false); !slices.Contains(got, "cardea/relay/stream") {
		t.Errorf("an indirect dependency is missed: %v", got)
	}
	for pattern, paths := range map[string][2]string{
		"cardea/relay/...":        {"cardea/relay", "cardea/relayed"},
		"cardea/relay/plane":      {"cardea/relay/plane", "cardea/relay/plane/x"},
		"github.com/pion/sdp/...": {"github.com/pion/sdp/v3", "github.com/pion/sdpx"},
	} {
		if !matches(pattern, paths[0]) || matches(pattern, paths[1]) {
			t.Errorf("%s matches %s: %v, %s: %v", pattern, paths[0], matches(pattern, paths[0]), paths[1], matches(pattern, paths[1]))
		}
	}
}
