package hostile

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"cardea/e2e/internal/caller"

	"github.com/pion/dtls/v3"
	"github.com/pion/stun/v4"
)

// Types of STUN and TURN requests (RFC 8489, RFC 8656).
var (
	allocate         = stun.NewType(stun.MethodAllocate, stun.ClassRequest)
	createPermission = stun.NewType(stun.MethodCreatePermission, stun.ClassRequest)
	sendIndication   = stun.NewType(stun.MethodSend, stun.ClassIndication)
)

// random returns so many random bytes.
func random(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

// mutated returns a packet with some bytes changed, cut or appended.
func mutated(b []byte) []byte {
	b = slices.Clone(b)
	if len(b) == 0 {
		return b
	}
	for range 1 + rand.IntN(4) {
		b[rand.IntN(len(b))] ^= byte(1 << rand.IntN(8))
	}
	switch rand.IntN(4) {
	case 0:
		b = b[:rand.IntN(len(b))]
	case 1:
		b = append(b, random(rand.IntN(200))...)
	}
	return b
}

// stunMessage builds a STUN message of the kind that stun.Build refuses to fail on.
func stunMessage(setters ...stun.Setter) []byte {
	return stun.MustBuild(append([]stun.Setter{stun.TransactionID}, setters...)...).Raw
}

// check builds a connectivity check.
func check(ufrag, pwd string, more ...stun.Setter) []byte {
	setters := append([]stun.Setter{stun.BindingRequest, stun.NewUsername(ufrag + ":peer"), priority(1 << 30), controlling{}}, more...)
	return stunMessage(append(setters, stun.NewShortTermIntegrity(pwd), stun.Fingerprint)...)
}

// priority and controlling are the attributes of checks (RFC 8445 section 16.1).
type (
	priority    uint32
	controlling struct{}
	nominating  struct{}
)

func (p priority) AddTo(m *stun.Message) error {
	m.Add(stun.AttrPriority, binary.BigEndian.AppendUint32(nil, uint32(p)))
	return nil
}

func (controlling) AddTo(m *stun.Message) error {
	m.Add(stun.AttrICEControlling, make([]byte, 8))
	return nil
}

func (nominating) AddTo(m *stun.Message) error {
	m.Add(stun.AttrUseCandidate, nil)
	return nil
}

// attribute is any attribute.
type attribute struct {
	kind  stun.AttrType
	value []byte
}

func (a attribute) AddTo(m *stun.Message) error {
	m.Add(a.kind, a.value)
	return nil
}

// brokenSTUN returns a message that is nearly STUN.
func brokenSTUN() []byte {
	b := stunMessage(stun.BindingRequest, stun.NewUsername("nobody:me"), priority(1), stun.NewShortTermIntegrity("x"), stun.Fingerprint)
	switch rand.IntN(7) {
	case 0: // a wrong length
		binary.BigEndian.PutUint16(b[2:], uint16(rand.Uint32()))
	case 1: // an attribute longer than the message
		binary.BigEndian.PutUint16(b[22:], 0xFFF0)
	case 2: // a wrong FINGERPRINT
		b[len(b)-1] ^= 1
	case 3: // no cookie
		b[4] ^= 1
	case 4:
		b = stunMessage(stun.BindingRequest, stun.NewUsername(string(bytes.Repeat([]byte("u"), 500))))
	case 5: // one huge attribute
		b = stunMessage(stun.BindingRequest, attribute{0x7fff, make([]byte, 1300)})
	case 6: // hundreds of tiny ones
		var many []stun.Setter
		for i := range 250 {
			many = append(many, attribute{stun.AttrType(0x7000 + i), nil})
		}
		b = stunMessage(append([]stun.Setter{stun.BindingRequest}, many...)...)
	}
	return b
}

// record makes a DTLS record in the clear.
func record(kind byte, body []byte) []byte {
	b := []byte{kind, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, byte(rand.Uint32()), byte(rand.Uint32())}
	return append(binary.BigEndian.AppendUint16(b, uint16(len(body))), body...) //nolint:gosec // bodies are short
}

// hello is what a DTLS client sends first.
var hello = sync.OnceValue(func() []byte {
	first := make(chan []byte, 1)
	conn := &recorder{first: first, done: make(chan struct{})}
	client, err := dtls.ClientWithOptions(conn, &net.UDPAddr{},
		dtls.WithInsecureSkipVerify(true), dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM))
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = client.HandshakeContext(ctx)
	}()
	b := <-first
	cancel()
	_ = conn.Close()
	<-ended
	_ = client.Close()
	return b
})

// recorder is a net.PacketConn that keeps the first packet.
type recorder struct {
	net.PacketConn
	first chan []byte
	once  sync.Once
	done  chan struct{}
}

func (r *recorder) WriteTo(b []byte, _ net.Addr) (int, error) {
	select {
	case r.first <- slices.Clone(b):
	default:
	}
	return len(b), nil
}

func (r *recorder) ReadFrom([]byte) (int, net.Addr, error) {
	<-r.done
	return 0, nil, net.ErrClosed
}

func (r *recorder) Close() error {
	r.once.Do(func() { close(r.done) })
	return nil
}

func (*recorder) LocalAddr() net.Addr              { return &net.UDPAddr{} }
func (*recorder) SetDeadline(time.Time) error      { return nil }
func (*recorder) SetReadDeadline(time.Time) error  { return nil }
func (*recorder) SetWriteDeadline(time.Time) error { return nil }

// rtpLike and rtcpLike look like SRTP and SRTCP from outside.
func rtpLike() []byte {
	b := random(12 + rand.IntN(1200))
	b[0], b[1] = 0x80|b[0]&0x3f, b[1]&0x3f|0x60&0x7f
	return b
}

func rtcpLike() []byte {
	b := random(8 + rand.IntN(200))
	b[0], b[1] = 0x80|b[0]&0x1f, byte(200+rand.IntN(8))
	return b
}

// channelData makes ChannelData (RFC 8656 section 12.4) of a channel nobody bound.
func channelData() []byte {
	b := random(4 + rand.IntN(600))
	binary.BigEndian.PutUint16(b, uint16(0x4000+rand.IntN(0x1000)))
	if rand.IntN(2) == 0 {
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)-4)) //nolint:gosec // short
	}
	return b
}

// turnRequest makes a TURN request without credentials, or with wrong ones.
func turnRequest() []byte {
	udp := attribute{stun.AttrRequestedTransport, []byte{17, 0, 0, 0}}
	switch rand.IntN(4) {
	case 0:
		return stunMessage(allocate, udp)
	case 1:
		return stunMessage(allocate, udp, stun.NewUsername("somebody"), stun.NewRealm("cardea"), stun.NewNonce("nonce"),
			stun.NewLongTermIntegrity("somebody", "cardea", "guess"))
	case 2:
		return stunMessage(createPermission, attribute{stun.AttrXORPeerAddress, []byte{0, 1, 1, 2, 3, 4, 5, 6}})
	default:
		return stunMessage(sendIndication, attribute{stun.AttrData, random(100)})
	}
}

// crowd is many UDP sockets on many addresses.
type crowd []*net.UDPConn

// gather opens n sockets on as many loopback addresses.
func gather(t *testing.T, n int) crowd {
	t.Helper()
	var c crowd
	for i := range n {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 77, byte(i>>8), byte(1+i))})
		if err != nil {
			t.Fatal(err)
		}
		c = append(c, conn)
	}
	return c
}

func (c crowd) close() {
	for _, conn := range c {
		_ = conn.Close()
	}
}

// flood sends packets at a rate for a time, in bursts of some milliseconds, as networks deliver them.
func flood(ctx context.Context, perSecond int, lasting time.Duration, send func()) (n int) {
	const burst = 2 * time.Millisecond
	tick := time.NewTicker(burst)
	defer tick.Stop()
	began := time.Now()
	for time.Since(began) < lasting && ctx.Err() == nil {
		for due := int(time.Since(began).Seconds() * float64(perSecond)); n < due; n++ {
			send()
		}
		<-tick.C
	}
	return n
}

// floodRate is what the attackers send together, packets a second: what a node takes on a slow machine under the race
// detector, with the call beside it. A flood that fills the link is not a node's to fend off.
const floodRate = 3000

// TestStrangers sends rubbish from many addresses that belong to nobody.
func TestStrangers(t *testing.T) {
	s := open(t, "127.0.0.41", nil)
	ufrag, _ := s.publisher.Credentials()
	kinds := []struct {
		name string
		make func() []byte
	}{
		{"random bytes", func() []byte { return random(rand.IntN(1500)) }},
		{"broken STUN", brokenSTUN},
		{"guessed ufrags", func() []byte { return check(fmt.Sprintf("%08x", rand.Uint32()), "a password nobody has") }},
		{"a ufrag overheard", func() []byte { return check(ufrag, "a password nobody has", nominating{}) }},
		{"DTLS hellos", hello},
		{"DTLS rubbish", func() []byte { return record(byte(20+rand.IntN(5)), random(rand.IntN(300))) }},
		{"SRTP", rtpLike},
		{"SRTCP", rtcpLike},
		{"ChannelData", channelData},
		{"TURN", turnRequest},
		{"the call's own packets", func() []byte { return pick(s.publisher.Sent()) }},
		{"the call's own packets, changed", func() []byte { return mutated(pick(s.publisher.Sent())) }},
	}
	attackers := gather(t, 200)
	defer attackers.close()
	sent := 0
	g := s.attack(func(ctx context.Context) {
		sent = flood(ctx, floodRate, 5*time.Second, func() {
			_, _ = pick(attackers).WriteToUDPAddrPort(pick(kinds).make(), s.media)
		})
	})
	each := float64(sent / len(kinds) / 2)
	g.atLeast(each, "cardea_media_checks_refused_total")
	g.atLeast(3*each, "cardea_media_strangers_total")
	g.atLeast(each, "cardea_media_rubbish_total", "cardea_turn_malformed_total")
	if n := g.of("cardea_media_peers"); n != 0 {
		t.Errorf("%v peers of strangers", n)
	}
	if n := g.of("cardea_udp_receive_drops_total"); n > 0 {
		t.Errorf("the kernel has dropped %v packets: the node was too slow for %d a second", n, floodRate)
	}
}

func pick[T any](all []T) T { return all[rand.IntN(len(all))] }

// TestImpostor sends rubbish from the addresses of the call itself, as somebody on the path can: SRTP and SRTCP that are not
// authentic, replays, and DTLS in the clear, alerts above all, which must not end the connection.
func TestImpostor(t *testing.T) {
	s := open(t, "127.0.0.44", nil)
	alert := func(level, description byte) []byte { return record(21, []byte{level, description}) }
	// Each client's packets come again from its own address only. From the other's, a connectivity check would prove that the
	// address is its, and for some seconds the node would believe it.
	kinds := []func() []byte{
		rtpLike, rtcpLike,
		func() []byte { return alert(1, 0) },  // close_notify
		func() []byte { return alert(2, 40) }, // handshake_failure
		func() []byte { return alert(2, 80) }, // internal_error
		hello,
		func() []byte { return mutated(hello()) },
		func() []byte { return record(byte(20+rand.IntN(5)), random(rand.IntN(300))) },
		func() []byte { // a handshake message that says it is 16 MiB
			return record(22, append([]byte{1, 0xff, 0xff, 0xff, 0, byte(rand.IntN(9)), 0, 0, 0, 0, 0, 100}, random(100)...))
		},
		func() []byte { // encrypted with other keys
			b := record(23, random(60))
			b[4] = 1
			return b
		},
		func() []byte { return random(rand.IntN(1500)) },
		brokenSTUN, channelData,
	}
	sent := 0
	g := s.attack(func(ctx context.Context) {
		sent = flood(ctx, floodRate, 5*time.Second, func() {
			for _, p := range []*caller.Peer{s.publisher.Peer, s.subscriber.Peer} {
				b := pick(p.Sent())
				switch rand.IntN(8) {
				case 0:
				case 1:
					b = mutated(b)
				default:
					b = pick(kinds)()
				}
				_ = p.Inject(b, s.media)
			}
		})
	})
	each := float64(sent / len(kinds) / 2)
	g.atLeast(2*each, "cardea_media_auth_failures_total")
	g.atLeast(each/2, "cardea_media_replayed_total")
	g.atLeast(each, "cardea_media_malformed_total", "cardea_media_rubbish_total")
}

// amplification says how much a node may send to an address that has not proved anything, for each byte from there, once
// it comes in numbers.
// What STUN has to answer at all is the exception: a Binding request may be 20 bytes, its answer cannot be less than 32.
const (
	amplification = 1.0
	answered      = 1.6
)

// TestAmplification counts what comes back to a source that proves nothing. A forged source address must be of no use.
func TestAmplification(t *testing.T) {
	s := open(t, "127.0.0.45", nil)
	ufrag, _ := s.publisher.Credentials()
	kinds := map[string]struct {
		make  func() []byte
		bound float64
	}{
		"STUN Binding":           {func() []byte { return stunMessage(stun.BindingRequest) }, answered},
		"broken STUN":            {brokenSTUN, amplification},
		"checks, unknown ufrag":  {func() []byte { return check("nobody", "password") }, amplification},
		"checks, wrong password": {func() []byte { return check(ufrag, "password") }, amplification},
		"the shortest check":     {func() []byte { return stunMessage(stun.BindingRequest, stun.NewUsername(ufrag+":")) }, answered},
		"DTLS hello":             {hello, amplification},
		"TURN":                   {turnRequest, amplification},
		"the shortest TURN":      {func() []byte { return stunMessage(allocate) }, amplification},
		"ChannelData":            {channelData, amplification},
		"SRTP":                   {rtpLike, amplification},
		"SRTCP":                  {rtcpLike, amplification},
		"random bytes":           {func() []byte { return random(1 + rand.IntN(100)) }, amplification},
	}
	i := byte(0)
	for name, k := range kinds {
		i++
		t.Run(name, func(t *testing.T) {
			conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 78, 0, i)})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			out := make(chan int)
			go func() {
				n, b := 0, make([]byte, 65536)
				for {
					k, _, err := conn.ReadFromUDPAddrPort(b)
					if err != nil {
						out <- n
						return
					}
					n += k
				}
			}()
			in := 0
			flood(s.ctx, 2000, 2*time.Second, func() {
				b := k.make()
				in += len(b)
				_, _ = conn.WriteToUDPAddrPort(b, s.media)
			})
			_ = conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
			got := <-out
			t.Logf("%d bytes out for %d in: %.2f", got, in, float64(got)/float64(in))
			if float64(got) > k.bound*float64(in) {
				t.Errorf("%d bytes out for %d in", got, in)
			}
		})
	}
}
