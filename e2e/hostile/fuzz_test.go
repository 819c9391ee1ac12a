package hostile

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"cardea/e2e/internal/caller"
	"cardea/node/config"

	"github.com/coder/websocket"
)

// What random requests are made of. Some of it is right, or they would all end at the first check.
var (
	verbs = []string{
		"info", "ping", "create", "keepalive", "attach", "destroy", "claim", "detach", "hangup", "message", "message",
		"message", "message", "message", "message", "message", "trickle", "trickle", "MESSAGE", "nonsense", "",
	}
	plugins = []string{"janus.plugin.videoroom", "janus.plugin.videoroom", "janus.plugin.echotest", "janus.plugin.none", ""}
	// Destroying or kicking in the call's room is not the fuzzer's to do; see harmless.
	requests = []string{
		"create", "edit", "destroy", "exists", "list", "allowed", "kick", "moderate", "listparticipants", "enable_recording",
		"stop_rtp_forward", "listforwarders", "publish_remotely", "unpublish_remotely", "listremotes", "add_remote_publisher",
		"update_remote_publisher", "remove_remote_publisher", "join", "join", "join", "joinandconfigure", "configure", "publish",
		"unpublish", "leave", "start", "pause", "subscribe", "unsubscribe", "update", "switch", "nonsense",
	}
	keys = []string{
		"room", "id", "ptype", "feed", "streams", "subscribe", "unsubscribe", "mid", "sub_mid", "display", "metadata", "pin",
		"secret", "token", "private_id", "publishers", "bitrate", "audiocodec", "videocodec", "descriptions", "send", "substream",
		"temporal", "fallback", "spatial_layer", "temporal_layer", "min_delay", "max_delay", "audio", "video", "data", "restart",
		"autoupdate", "use_msid", "action", "allowed", "mute", "new_description", "new_publishers", "dummy_publisher",
		"dummy_streams", "publisher_id", "stream_id", "remote_id", "crossrefid", "keyframe", "record", "filename", "update",
		"audio_active_packets", "audio_level_average", "notify_joining", "community_id", "guild_id", "is_private", "offer_audio",
	}
	words = []string{
		"publisher", "subscriber", "opus", "vp8", "vp9,vp8", "h264", "0", "1", "video", "enable", "add", "a", "", "\u00e9\u0000"[:2],
		strings.Repeat("long", 3000), "-1", "true", "null", "%s%n", "../../etc/passwd", "🙂",
	}
	numbers = []string{"0", "1", "2", "3", "-1", "7", "255", "65536", "4294967296", "9007199254740993", "18446744073709551615", "-9223372036854775808", "1.5", "1e300"}
)

// fuzzer makes requests at random and remembers the ids that the node gave it.
type fuzzer struct {
	random   *rand.Rand
	room     int // the call's, to be left in peace
	feed     json.Number
	lies     []string
	sessions []string
	handles  map[string][]string // by session
	serial   int
}

func (f *fuzzer) one(of []string) string { return of[f.random.IntN(len(of))] }

// value makes any JSON value of some depth.
func (f *fuzzer) value(depth int) any {
	switch n := f.random.IntN(12); {
	case n < 3:
		return json.Number(f.one(numbers))
	case n < 6:
		return f.one(words)
	case n == 6:
		return f.random.IntN(2) == 0
	case n == 7:
		return nil
	case depth <= 0:
		return f.feed
	case n < 10:
		list := make([]any, f.random.IntN(4))
		for i := range list {
			list[i] = f.value(depth - 1)
		}
		return list
	default:
		return f.object(depth-1, f.random.IntN(5))
	}
}

func (f *fuzzer) object(depth, size int) caller.M {
	o := caller.M{}
	for range size {
		o[f.one(keys)] = f.value(depth)
	}
	return o
}

// body makes a plugin's request.
func (f *fuzzer) body() caller.M {
	b := f.object(2, f.random.IntN(6))
	b["request"] = f.one(requests)
	if f.random.IntN(2) == 0 {
		b["room"] = 1 + f.random.IntN(8) // rooms of its own; some are there
	}
	switch b["request"] {
	case "join", "joinandconfigure":
		b["ptype"] = f.one([]string{"publisher", "publisher", "subscriber"})
		if f.random.IntN(2) == 0 {
			b["room"], b["streams"] = f.room, []any{caller.M{"feed": f.feed, "mid": f.one([]string{"0", "1"})}, f.object(1, 2)}
		}
	case "create":
		b["permanent"] = false
		delete(b, "publishers")
	}
	if f.random.IntN(50) == 0 {
		b["request"] = f.value(1)
	}
	return harmless(b, f.room)
}

// harmless keeps a request from doing to the call what everybody may do to a room without a secret.
func harmless(b caller.M, room int) caller.M {
	switch b["request"] {
	case "destroy", "kick", "moderate", "edit", "allowed":
		if fmt.Sprint(b["room"]) == strconv.Itoa(room) {
			b["room"] = 1
		}
	}
	return b
}

// next makes a request.
func (f *fuzzer) next() []byte {
	f.serial++
	m := caller.M{"janus": f.one(verbs), "transaction": strconv.Itoa(f.serial)}
	session := ""
	if len(f.sessions) > 0 && f.random.IntN(20) > 0 {
		session = f.one(f.sessions)
		m["session_id"] = json.Number(session)
	}
	if handles := f.handles[session]; len(handles) > 0 && m["janus"] != "attach" && f.random.IntN(20) > 0 {
		m["handle_id"] = json.Number(f.one(handles))
	}
	switch m["janus"] {
	case "create":
		if f.random.IntN(4) > 0 && len(f.sessions) > 0 {
			m["janus"] = "keepalive"
		}
	case "destroy", "detach", "hangup":
		if f.random.IntN(10) > 0 {
			m["janus"] = "message"
		}
	}
	switch m["janus"] {
	case "attach":
		m["plugin"] = f.one(plugins)
	case "message":
		m["body"] = f.body()
		if f.random.IntN(4) == 0 {
			m["jsep"] = caller.M{"type": f.one([]string{"offer", "answer", "offer", "rollback"}), "sdp": f.one(f.lies)}
		}
	case "trickle":
		m["candidate"] = caller.M{"sdpMid": f.value(0), "sdpMLineIndex": f.value(0), "candidate": "candidate:1 1 udp 1 10.0.0.1 1 typ host"}
	}
	for f.random.IntN(10) == 0 { // spoil it
		m[f.one([]string{"janus", "session_id", "handle_id", "body", "jsep", "plugin", "transaction", "candidate", "candidates", "id", "opaque_id", "token", "apisecret"})] = f.value(2)
	}
	b, err := json.Marshal(m)
	if err != nil {
		return []byte("{}")
	}
	for f.random.IntN(30) == 0 && len(b) > 0 {
		b[f.random.IntN(len(b))] = byte(f.random.Uint32())
	}
	return b
}

// learn takes the ids out of what the node answers.
func (f *fuzzer) learn(b []byte) {
	var m struct {
		Janus   string
		Session json.Number `json:"session_id"`
		Data    struct{ ID json.Number }
	}
	if json.Unmarshal(b, &m) != nil || m.Janus != "success" || m.Data.ID == "" {
		return
	}
	id := m.Data.ID.String()
	if m.Session == "" {
		f.sessions = append(f.sessions[max(0, len(f.sessions)-7):], id)
		return
	}
	s := m.Session.String()
	f.handles[s] = append(f.handles[s][max(0, len(f.handles[s])-7):], id)
}

// fuzzRequests is how many random requests are sent; FUZZREQUESTS says another number.
const fuzzRequests = 30_000

// fuzzRate is how many a connection sends a second: the test is about what requests say, not about how many they are.
const fuzzRate = 150

// TestRandomRequests sends random requests with all verbs over WebSocket, several clients at once. FUZZSEED repeats a run.
func TestRandomRequests(t *testing.T) {
	total, seed := fuzzRequests, uint64(time.Now().UnixNano())
	if n, err := strconv.Atoi(os.Getenv("FUZZREQUESTS")); err == nil {
		total = n
	}
	if n, err := strconv.ParseUint(os.Getenv("FUZZSEED"), 10, 64); err == nil {
		seed = n
	}
	t.Logf("FUZZSEED=%d", seed)
	s := open(t, "127.0.0.47", func(c *config.Config) { c.Limits.RequestsPerSecond, c.Limits.SessionRate = 2*fuzzRate, 0 })
	var texts []string
	for _, text := range lies() {
		if len(text) < 20_000 {
			texts = append(texts, text)
		}
	}
	const connections = 8
	g := s.attack(func(ctx context.Context) {
		var work sync.WaitGroup
		for i := range connections {
			work.Go(func() {
				f := &fuzzer{random: rand.New(rand.NewPCG(seed, uint64(i))), room: room, feed: s.publisher.ID, lies: texts, handles: map[string][]string{}}
				if err := f.run(ctx, s.ws(), total/connections); err != nil {
					t.Errorf("connection %d: %v", i, err)
				}
			})
		}
		work.Wait()
	})
	g.atLeast(float64(total)/4, "cardea_janus_requests_total")
	g.atLeast(float64(total)/20, "cardea_janus_errors_total")
	if n := g.of("cardea_janus_panics_total") + g.of("cardea_media_faults_total"); n != 0 {
		t.Errorf("%v panics", n)
	}
}

// run sends n requests, reading what comes meanwhile.
func (f *fuzzer) run(ctx context.Context, url string, n int) error {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	ws, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{Subprotocols: []string{"janus-protocol"}, HTTPClient: &http.Client{Transport: transport}})
	if err != nil {
		return err
	}
	defer ws.CloseNow()
	ws.SetReadLimit(-1)
	answers := make(chan []byte, 4096)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer close(answers)
		for {
			_, b, err := ws.Read(context.Background())
			if err != nil {
				return
			}
			select {
			case answers <- b:
			default:
			}
		}
	}()
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for i := range n {
		if i%(fuzzRate/50) == 0 {
			<-pace.C
		}
		if err := ws.Write(ctx, websocket.MessageText, f.next()); err != nil {
			return fmt.Errorf("request %d: %w", f.serial, err)
		}
		for more := true; more; {
			select {
			case b := <-answers:
				f.learn(b)
			default:
				more = false
			}
		}
	}
	// The node must still answer: wait for it, behind everything else.
	if err := ws.Write(ctx, websocket.MessageText, []byte(`{"janus":"ping","transaction":"the last"}`)); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	for {
		select {
		case b, ok := <-answers:
			switch {
			case !ok:
				return fmt.Errorf("closed before the last answer")
			case strings.Contains(string(b), `"the last"`):
				_ = ws.CloseNow()
				<-ended
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
