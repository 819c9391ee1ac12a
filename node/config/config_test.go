package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var byValue = cmp.Options{
	cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}),
	cmpopts.EquateEmpty(),
}

// load runs a loader on flags, environment and a file's text, which stands in cardea.yaml of an empty directory.
func load(t *testing.T, file string, environ, args []string) (*Config, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	if file != "" {
		if err := os.WriteFile("cardea.yaml", []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fs := flag.NewFlagSet("test", flag.ContinueOnError)
	s := Flags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	c, _, err := s.Load(environ)
	return c, err
}

func TestDefaultIsValid(t *testing.T) {
	c := Default()
	if err := c.Validate(); err != nil {
		t.Errorf("the default configuration is not valid:\n%v", err)
	}
}

func TestPrecedence(t *testing.T) {
	const file = "janus:\n  ws_port: 1001\n  http_port: 1002\n  session_timeout: 5s\nlog: {level: debug}\n"
	c, err := load(t, file,
		[]string{"CARDEA_JANUS_HTTP_PORT=2002", "CARDEA_JANUS_SESSION_TIMEOUT=6s", "CARDEA_TURN_DTLS=off", "PATH=/bin"},
		[]string{"--janus-session-timeout", "7s", "--bind=127.0.0.2", "--videoroom-string-ids", "--console-page=false"})
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Log.Level = slog.LevelDebug
	want.Janus.WSPort, want.Janus.HTTPPort, want.Janus.SessionTimeout = 1001, 2002, 7*time.Second
	want.TURN.DTLS = false
	want.Node.Bind = netip.MustParseAddr("127.0.0.2")
	want.VideoRoom.StringIDs = true
	want.Console.Page = false
	if d := cmp.Diff(&want, c, byValue); d != "" {
		t.Error(d)
	}
}

func TestRooms(t *testing.T) {
	const file = `
videoroom:
  rooms:
    - room: 0900001
      bitrate: 256k
      secret: s
      opus_fec: false
      allowed: []
    - {room: 2, dummy_streams: [{codec: vp8}]}
`
	c, err := load(t, file, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	first, second := DefaultRoom(), DefaultRoom()
	first.Room, first.Bitrate, first.Secret, first.OpusFEC, first.Allowed = "900001", 256_000, "s", false, []Secret{}
	second.Room, second.DummyStreams = "2", []DummyStream{{Codec: "vp8"}}
	if d := cmp.Diff([]Room{first, second}, c.VideoRoom.Rooms); d != "" { // nil and empty Allowed differ in meaning
		t.Error(d)
	}
	c, err = load(t, "", []string{"CARDEA_VIDEOROOM_ROOMS=[{room: 5}]"}, nil)
	if err != nil || len(c.VideoRoom.Rooms) != 1 || c.VideoRoom.Rooms[0].Room != "5" || !c.VideoRoom.Rooms[0].OpusFEC {
		t.Errorf("from the environment: %+v, %v", c.VideoRoom.Rooms, err)
	}
}

// TestFaults feeds wrong configurations and wants every fault in the answer, in order, and nothing else.
func TestFaults(t *testing.T) {
	tests := []struct {
		name, file string
		env, args  []string
		want       []string
	}{
		{
			"unknown section", "janu:\n  ws_port: 1\n", nil, nil,
			[]string{"cardea.yaml:1: unknown key janu; did you mean janus?"},
		},
		{
			"unknown key", "janus:\n  ws_port: 1\n  wsport: 2\n  colour: red\n", nil, nil,
			[]string{"cardea.yaml:3: unknown key janus.wsport; did you mean janus.ws_port?", "cardea.yaml:4: unknown key janus.colour"},
		},
		{
			"unknown key of a room", "videoroom:\n  rooms:\n  - room: 1\n    colour: red\n", nil, nil,
			[]string{"cardea.yaml:4: unknown key videoroom.rooms[0].colour"},
		},
		{
			"said twice", "log:\n  level: info\n  level: warn\n", nil, nil,
			[]string{"cardea.yaml:3: log.level: said twice, first on line 2"},
		},
		{
			"values", "log: {level: loud}\njanus:\n  ws_port: 70000\n  session_timeout: 60\n  token_auth: maybe\n  slowlink_threshold: 1.5\nlimits: {message_size: big, cpu: x}\nmedia: {addresses: [nowhere], max_bitrate: 9Q}\nnode: {advertise: ['::1/10.0.0.1']}\nconsole: {allowed: [10.0.0.1/8]}\n", nil, nil,
			[]string{
				`cardea.yaml:1: log.level: "loud": want debug, info, warn or error`,
				`cardea.yaml:3: janus.ws_port: "70000": want a port, 0 to 65535`,
				`cardea.yaml:4: janus.session_timeout: "60": want a duration with its unit, such as 500ms, 10s or 1m30s`,
				`cardea.yaml:5: janus.token_auth: "maybe": want true or false`,
				`cardea.yaml:6: janus.slowlink_threshold: "1.5": want a whole number`,
				`cardea.yaml:7: limits.message_size: "big" is not a quantity: want a size such as 512KiB`,
				`cardea.yaml:7: limits.cpu: "x": want a number`,
				`cardea.yaml:8: media.addresses[0]: "nowhere": want an IP address`,
				`cardea.yaml:8: media.max_bitrate: "9Q" is not a quantity: want a bitrate such as 256k or 2.5M`,
				`cardea.yaml:9: node.advertise[0]: "::1/10.0.0.1" maps one address family to the other`,
				`cardea.yaml:10: console.allowed[0]: "10.0.0.1/8" has bits set beyond its length: did you mean 10.0.0.0/8?`,
			},
		},
		{
			"shapes", "log: text\njanus: {ws_port: [1], allowed_origins: a}\n", nil, nil,
			[]string{
				"cardea.yaml:1: log: want a mapping (key: value)", "cardea.yaml:2: janus.ws_port: want a single value",
				"cardea.yaml:2: janus.allowed_origins: want a list ([a, b], or a line with a dash each)",
			},
		},
		{"not YAML", "janus: [", nil, nil, []string{"cardea.yaml: line 1: did not find expected node content"}},
		{"two documents", "log:\n---\nlog:\n", nil, nil, []string{"cardea.yaml: more than one YAML document"}},
		{"alias without end", "log: &a [*a]\n", nil, nil, []string{"cardea.yaml:1: log: want a mapping (key: value)"}},
		{
			"environment", "",
			[]string{"CARDEA_JANUS_WSPORT=1", "CARDEA_LOG_LEVEL=x", "CARDEA_OTHER=ignored"},
			nil,
			[]string{`CARDEA_LOG_LEVEL: log.level: "x": want debug, info, warn or error`, "unknown variable CARDEA_JANUS_WSPORT; did you mean CARDEA_JANUS_WS_PORT?"},
		},
		{
			"flags", "", nil,
			[]string{"--janus-ws-port=x", "--turn-users-file=/nowhere"},
			[]string{`--janus-ws-port: janus.ws_port: "x": want a port, 0 to 65535`, "--turn-users-file: turn.users_file: open /nowhere: no such file or directory"},
		},
		{"file missing", "", nil, []string{"--config=/nowhere.yaml"}, []string{"stat /nowhere.yaml: no such file or directory"}},
		{
			"all that is invalid", "log: {format: xml}\ntls: {certificate: a.pem}\njanus: {session_timeout: 1ms, token_auth_secret: x, allowed_origins: [app.example.org]}\nvideoroom: {rooms: [{room: a}, {room: 1, publishers: 0, audiocodec: mp3}, {room: 01}]}\nmedia: {start_bitrate: 99M}\nturn: {users: [me], min_port: 3000}\nlimits: {cpu: 2, sessions: 0}\n", nil, nil,
			[]string{
				`log.format: "xml": want text or json`,
				"tls: certificate and key are needed together",
				"janus.session_timeout: 1ms is not between 1s and 24h0m0s",
				"janus.token_auth_secret: has no effect without token_auth",
				`janus.allowed_origins: "app.example.org": want an origin such as https://app.example.org`,
				`videoroom.rooms[0].room: "a": want a positive integer (or videoroom.string_ids)`,
				"videoroom.rooms[1].publishers: must be positive",
				`videoroom.rooms[1].audiocodec: "mp3": want some of opus, multiopus, isac32, isac16, pcmu, pcma, g722, l16-48, l16`,
				`videoroom.rooms[2].room: "1" is there already`,
				"media: min_bitrate, start_bitrate and max_bitrate must rise in this order",
				"turn.users[0]: want NAME:PASSWORD",
				"media.port: 3478 lies among the ports of TURN's relays",
				"turn.tls_port: 5349 lies among the ports of TURN's relays",
				"mesh.gossip_port: 7946 lies among the ports of TURN's relays",
				"mesh.link_port: 7947 lies among the ports of TURN's relays",
				"limits.cpu: want 0 (never refuse) to 1",
				"limits.sessions: must be positive",
			},
		},
		{
			"mesh", "mesh: {join: [cardea_short, 'node:0', ok.example.org, 'a b'], dns: 'a..b', redis: 'http://secret@x', advertise: [0.0.0.0, 10.0.0.1, 10.0.0.2, 10.0.0.3], link_port: 0}\n", nil, nil,
			[]string{
				"mesh.link_port: must not be 0",
				"mesh.advertise: more than three addresses",
				"mesh.advertise: 0.0.0.0 is no address of a node",
				"mesh.join[0]: the invitation is not whole",
				"mesh.join[1]: want an invitation, HOST or HOST:PORT",
				"mesh.join[3]: want an invitation, HOST or HOST:PORT",
				`mesh.dns: "a..b": want a name`,
				"mesh.redis: want redis://[USER:PASSWORD@]HOST[:PORT][/DB]",
			},
		},
		{
			"networks of events", "events: {webhook: {allowed: [10.0.0.1/8]}}\n",
			nil, nil,
			[]string{`cardea.yaml:1: events.webhook.allowed[0]: "10.0.0.1/8" has bits set beyond its length: did you mean 10.0.0.0/8?`},
		},
		{
			"events", "events: {types: [all, core], label: type, max_disk: 1MiB, flush_timeout: 10s, kafka: {brokers: [a, 'b:9092'], topic: 'a b', acks: some, ca: x, user: u}, " +
				"webhook: {url: 'https://u:p@x/', password: x}, websocket: {url: 'http://x'}, log: {file: events.json, max_size: 1}}\n",
			nil, nil,
			[]string{
				"events.types: all stands alone",
				`events.label: "type": want 1 to 64 bytes, and none of an event's own keys`,
				"events.max_disk: 1MiB is less than 16MiB",
				"events.max_memory: 16MiB is less than 2MiB or more than max_disk",
				"events.flush_timeout: is not below node.stop_timeout",
				`events.kafka.brokers[0]: "a": want HOST:PORT`,
				`events.kafka.topic: "a b": want up to 249 letters, digits, and . _ -`,
				`events.kafka.acks: "some": want all, leader or none`,
				"events.kafka.tls: is off: ca and certificate have no effect",
				"events.kafka: mechanism, user and password are needed together",
				"events.webhook.url: name and password do not belong in a URL: there are user and password",
				"events.webhook.password: has no effect without user",
				"events.websocket.url: want a URL that begins with ws:// or wss://",
				`events.log.file: "events.json": want an absolute path`,
				"events.log.max_size: 1 is less than 1MiB",
			},
		},
		{
			"a password for all to read", "events: {kafka: {brokers: ['127.0.0.1:9092', 'kafka.example.org:9092'], mechanism: PLAIN, user: u, password: hush}}\n",
			nil, nil,
			[]string{"events.kafka.mechanism: PLAIN would send the password unencrypted: set events.kafka.tls, or allow_plaintext"},
		},
		{
			"events elsewhere", "",
			[]string{"CARDEA_EVENTS_KAFKA_BATCH=x", "CARDEA_EVENTS_WEBHOOK_UR=x"},
			[]string{"--events-log-keep", "x"},
			[]string{
				`CARDEA_EVENTS_KAFKA_BATCH: events.kafka.batch: "x": want a whole number`,
				"unknown variable CARDEA_EVENTS_WEBHOOK_UR; did you mean CARDEA_EVENTS_WEBHOOK_URL?",
				`--events-log-keep: events.log.keep: "x": want a whole number`,
			},
		},
		{"mesh off", "mesh: {enabled: false, join: [a]}\n", nil, nil, []string{"mesh.join: has no effect with the mesh switched off"}},
		{"two invitations", "", []string{"CARDEA_MESH_JOIN=" + strings.Repeat("cardea_"+strings.Repeat("A", 180)+",", 2)}, nil, []string{"mesh.join: more than one invitation"}},
		{
			"ports collide", "janus: {http_port: 8188}\nconsole: {address: 127.0.0.1, port: 8188}\n", nil, nil,
			[]string{
				"janus.http_port: tcp :8188 is the address of janus.ws_port too",
				"console.port: tcp 127.0.0.1:8188 is the address of janus.ws_port too", "console.port: tcp 127.0.0.1:8188 is the address of janus.http_port too",
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(t, tt.file, tt.env, tt.args)
			if err == nil {
				t.Fatal("no error")
			}
			if d := cmp.Diff(tt.want, strings.Split(err.Error(), "\n")); d != "" {
				t.Error(d)
			}
			if _, ok := errors.AsType[Faults](err); !ok {
				t.Errorf("%T is not Faults", err)
			}
		})
	}
}

// TestPlaintextPassword takes a password that nobody else will see, or that everybody may.
func TestPlaintextPassword(t *testing.T) {
	for _, text := range []string{
		"brokers: ['127.0.0.1:9092', '[::1]:9092', 'localhost:9092'], mechanism: PLAIN",
		"brokers: ['192.0.2.1:9092'], mechanism: PLAIN, tls: true",
		"brokers: ['192.0.2.1:9092'], mechanism: PLAIN, allow_plaintext: true",
		"brokers: ['192.0.2.1:9092'], mechanism: SCRAM-SHA-512",
	} {
		if _, err := Parse("cardea.yaml", []byte("events: {kafka: {user: u, password: p, "+text+"}}\n")); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestSecretFiles(t *testing.T) {
	dir := t.TempDir()
	one, many := filepath.Join(dir, "one"), filepath.Join(dir, "many")
	if err := os.WriteFile(one, []byte("open sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(many, []byte("# users\na:b\n\n  c:d\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := fmt.Sprintf("janus:\n  api_secret_file: %s\nvideoroom:\n  rooms: [{room: 1, pin_file: %s}]\n", one, one)
	c, err := load(t, file, []string{"CARDEA_CONSOLE_TOKEN_FILE=" + one}, []string{"--turn-users-file", many})
	if err != nil {
		t.Fatal(err)
	}
	got := []Secret{c.Janus.APISecret, c.VideoRoom.Rooms[0].Pin, c.Console.Token, c.TURN.Users[0], c.TURN.Users[1]}
	if want := []Secret{"open sesame", "open sesame", "open sesame", "a:b", "c:d"}; !equal(got, want) {
		t.Errorf("secrets from files are not those in them")
	}
	_, err = load(t, "janus:\n  api_secret: x\n  api_secret_file: "+one+"\n", []string{"CARDEA_CONSOLE_TOKEN_FILE=x", "CARDEA_CONSOLE_TOKEN=y"}, nil)
	want := "cardea.yaml:3: janus.api_secret_file: said twice, first on line 2\nCARDEA_CONSOLE_TOKEN_FILE: console.token: CARDEA_CONSOLE_TOKEN is set too"
	if err == nil || err.Error() != want {
		t.Errorf("said twice: %v", err)
	}
}

func equal(a, b []Secret) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if string(a[i]) != string(b[i]) {
			return false
		}
	}
	return true
}

// TestSecretsStayHidden prints a configuration in every usual way.
func TestSecretsStayHidden(t *testing.T) {
	const word = "xyzzy"
	c := Default()
	c.Janus.APISecret, c.TURN.Users = word, []Secret{word}
	c.VideoRoom.Rooms = []Room{{Secret: word}}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", c.Janus.APISecret, "config", c)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", c.Janus.APISecret, "config", c)
	asJSON, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{fmt.Sprintf("%v %+v %#v %s", c, c, c, c.Janus.APISecret), string(asJSON), log.String()} {
		if strings.Contains(out, word) {
			t.Errorf("a secret shows in %s", out)
		}
		if !strings.Contains(out, hidden) {
			t.Errorf("no placeholder in %s", out)
		}
	}
	for _, f := range []string{"janus:\n  api_secret: [" + word + "]\n", "turn:\n  users: [" + word + "]\n"} {
		if _, err := Parse("f", []byte(f)); err == nil || strings.Contains(err.Error(), word) {
			t.Errorf("fault for a wrong secret: %v", err)
		}
	}
}

// TestDocumented wants a comment on every option and section, and names that lead to one option each.
func TestDocumented(t *testing.T) {
	c := Default()
	flags, envs := map[string]bool{"config": true}, map[string]bool{}
	for _, o := range options(&c) {
		if len(comments()[o.field]) < 20 {
			t.Errorf("%s has no comment of substance", o.field)
		}
		for _, name := range []string{o.flag(), o.flag() + "-file"} {
			if flags[name] {
				t.Errorf("--%s is there twice", name)
			}
		}
		flags[o.flag()] = true
		if envs[o.env()] {
			t.Errorf("%s is there twice", o.env())
		}
		envs[o.env()] = true
		if !regexp.MustCompile(`^[a-z0-9]+(\.[a-z]+)?\.[a-z][a-z0-9_]*$`).MatchString(o.path()) {
			t.Errorf("%s has no proper yaml tag: %s", o.field, o.path())
		}
	}
	var help bytes.Buffer
	if err := WriteHelp(&help); err != nil {
		t.Fatal(err)
	}
	for name := range flags {
		if name != "config" && !strings.Contains(help.String(), "  --"+name) {
			t.Errorf("help does not mention --%s", name)
		}
	}
}

// TestSample checks the sample file: it is what the program writes, it says nothing, and what it leaves commented out
// are the defaults.
func TestSample(t *testing.T) {
	var b bytes.Buffer
	if err := WriteSample(&b); err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile("../../cardea.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(kept), b.String()); d != "" {
		t.Errorf("cardea.example.yaml is not up to date (make generate):\n%s", d)
	}
	want := Default()
	option := regexp.MustCompile(`(?m)^( +)#(\w+:)`)
	for name, document := range map[string][]byte{"as it is": b.Bytes(), "uncommented": option.ReplaceAll(b.Bytes(), []byte("$1$2"))} {
		c, err := Parse(name, document)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d := cmp.Diff(&want, c, byValue); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestListeners(t *testing.T) {
	c := Default()
	c.Node.Bind = netip.MustParseAddr("127.0.0.3")
	c.Janus.Address = netip.MustParseAddr("::1")
	c.Janus.HTTPPort = 0
	describe := func() (all []string) {
		for _, l := range c.Listeners() {
			all = append(all, fmt.Sprintf("%s %s %s %v", l.Option, l.Network, l.HostPort(), l.TLS))
		}
		return all
	}
	want := []string{"janus.ws_port tcp [::1]:8188 false", "media.port udp 127.0.0.3:3478 false", "media.port tcp 127.0.0.3:3478 false", "console.port tcp 127.0.0.3:9600 false"}
	c.Mesh.Enabled = false
	if d := cmp.Diff(want, describe()); d != "" {
		t.Error(d)
	}
	mesh := Default()
	mesh.Node.Bind, mesh.Mesh.Address = c.Node.Bind, netip.MustParseAddr("10.0.0.9")
	var ports []string
	for _, l := range mesh.Listeners() {
		if strings.HasPrefix(l.Option, "mesh.") {
			ports = append(ports, l.Option+" "+l.Network+" "+l.HostPort())
		}
	}
	if d := cmp.Diff([]string{"mesh.gossip_port udp 10.0.0.9:7946", "mesh.gossip_port tcp 10.0.0.9:7946", "mesh.link_port udp 10.0.0.9:7947", "mesh.link_port tcp 10.0.0.9:7947"}, ports); d != "" {
		t.Error(d)
	}
	for _, tt := range []struct{ bind, own, want string }{
		{"127.0.0.3", "", "127.0.0.3"}, {"", "", "127.0.0.1"}, {"192.0.2.1", "", "127.0.0.1"}, {"127.0.0.3", "192.0.2.2", "192.0.2.2"},
	} {
		a := Default()
		a.Janus.AdminSecret, a.Janus.AdminWSPort = "adm", 7188
		a.Node.Bind, _ = netip.ParseAddr(tt.bind)
		a.Janus.AdminAddress, _ = netip.ParseAddr(tt.own)
		var got []string
		for _, l := range a.Listeners() {
			if strings.HasPrefix(l.Option, "janus.admin") {
				got = append(got, l.Option+" "+l.HostPort())
			}
		}
		if d := cmp.Diff([]string{"janus.admin_port " + tt.want + ":7088", "janus.admin_ws_port " + tt.want + ":7188"}, got); d != "" {
			t.Errorf("bind %q, admin_address %q: %s", tt.bind, tt.own, d)
		}
	}
	c.TLS = TLS{"cert", "key"}
	c.Media.Addresses = []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}
	c.Media.TCP = false
	want = []string{
		"janus.ws_port tcp [::1]:8188 false", "janus.wss_port tcp [::1]:8989 true", "janus.https_port tcp [::1]:8089 true",
		"media.port udp 10.0.0.1:3478 false", "turn.tls_port tcp 10.0.0.1:5349 true", "turn.tls_port udp 10.0.0.1:5349 true",
		"media.port udp 10.0.0.2:3478 false", "turn.tls_port tcp 10.0.0.2:5349 true", "turn.tls_port udp 10.0.0.2:5349 true",
		"console.port tcp 127.0.0.3:9600 false", "console.https_port tcp 127.0.0.3:9643 true",
	}
	if d := cmp.Diff(want, describe()); d != "" {
		t.Error(d)
	}
}

// FuzzParse wants an error or a valid configuration from any document, never a panic.
func FuzzParse(f *testing.F) {
	f.Add([]byte("janus:\n  ws_port: 1\n"))
	f.Add([]byte("videoroom: {rooms: [{room: 1, allowed: [a]}]}"))
	f.Add([]byte("a: &a\n  - *a\n"))
	f.Add([]byte("turn: {users: [a:b], denied_peers: [10.0.0.0/8]}"))
	f.Fuzz(func(t *testing.T, document []byte) {
		if bytes.Contains(document, []byte("_file")) {
			return // would open files
		}
		c, err := Parse("fuzz", document)
		if err != nil {
			return
		}
		if err := c.Validate(); err != nil {
			t.Errorf("accepted, then not valid: %v", err)
		}
	})
}
