package mesh

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"cardea/e2e/wan"
)

// Ports of a node that are for other nodes.
const (
	gossipPort = 7946
	linkPort   = 7947
)

// testStrangers has a process without an invitation try what it can: rubbish, the nodes' own datagrams again, under its own
// address and under theirs, and another cluster's certificate. A call goes on and loses nothing, all links stay, and
// what came is counted.
func (w *world) testStrangers(t *testing.T) {
	c := w.newCall(t, 900)
	home := w.in("eu")[0]
	c.watch(t, c.publish(t, home), w.nodes...)
	flow(t, c.watching, 100)
	c.undisturbed(t, "another cluster's certificate", w.counting(t, "us", "cardea_mesh_links_refused_total"), func() { w.foreigner(t) })
	heard := w.overhear(t, "eu", "us", func() { flow(t, c.watching, 50) })

	c.undisturbed(t, "rubbish", nil, func() { w.rubbish(t) })
	c.undisturbed(t, "replay from another address", nil, func() {
		for _, p := range heard {
			w.throw(t, "udp", p.to, p.payload)
		}
	})
	c.undisturbed(t, "replay from the sender's address", w.counting(t, "us", "cardea_mesh_link_replayed_total"), func() { w.forge(t, heard) })
	c.undisturbed(t, "altered datagrams from the sender's address", w.counting(t, "us", "cardea_mesh_link_forged_total"), func() {
		for _, p := range heard {
			for range 4 {
				p.payload[rand.IntN(len(p.payload))] ^= 1 << rand.IntN(8)
			}
			clear(p.checksum)
		}
		w.forge(t, heard)
	})
	c.undisturbed(t, "handshakes that are none", w.counting(t, "us", "cardea_mesh_admissions_strange_total"), func() {
		for _, n := range w.in("us") {
			w.throw(t, "tcp", fmt.Sprintf("%s:%d", n.address, linkPort), []byte("GET / HTTP/1.1\r\n\r\n"))
		}
	})
}

// counting returns a function that fails unless a counter of some node of a region is above what it is now.
func (w *world) counting(t *testing.T, region, name string) func() {
	t.Helper()
	sum := func() (sum int) {
		for _, n := range w.in(region) {
			sum += n.metric(t, name)
		}
		return sum
	}
	before := sum()
	return func() {
		t.Helper()
		var now int
		await(t, func() string { return fmt.Sprintf("%s stays at %d", name, now) }, func() bool {
			now = sum()
			return now > before
		})
		t.Logf("  %s: %d more", name, now-before)
	}
}

// attempts is how often a call may lose packets while strangers do something until that counts as their doing: what they can do they
// can do again, and a busy machine loses packets by itself.
const attempts = 3

// undisturbed wants a call to go on while f does what it does, and all links to stay. counted is called afterwards.
func (c *call) undisturbed(t *testing.T, what string, counted, f func()) {
	t.Helper()
	before := c.w.carriedBy()
	for attempt := 1; ; attempt++ {
		restart(c.watching)
		missing := lost(c.watching)
		f()
		flow(t, c.watching, 50)
		n := lost(c.watching) - missing
		t.Logf("%s: longest gap of the call %v, %d packets lost", what, gap(c.watching).Round(time.Millisecond), n)
		if n == 0 {
			break
		}
		if attempt == attempts {
			t.Errorf("%s: the call loses %d packets, and lost some each time", what, n)
			break
		}
	}
	for pair, bytes := range c.w.carriedBy() {
		if bytes < before[pair] {
			t.Errorf("%s: the link from %s to %s is not the same any more", what, pair[0], pair[1])
		}
	}
	c.w.meet(t, len(c.w.nodes))
	if counted != nil {
		counted()
	}
}

// carriedBy returns what each link has carried since it came up, by the names of the nodes. One that carries nothing does
// not count.
func (w *world) carriedBy() map[[2]string]uint64 {
	all := make(map[[2]string]uint64)
	for _, n := range w.nodes {
		for _, m := range n.members() {
			if m.SentBytes > 0 {
				all[[2]string{n.name, m.Name}] = m.SentBytes
			}
		}
	}
	return all
}

// datagram is one that was overheard.
type datagram struct {
	packet   []byte // the IP packet; what follows are parts of it
	to       string
	checksum []byte // of UDP
	payload  []byte
}

// overhear returns the datagrams of nodes that come from a site to another while f runs.
func (w *world) overhear(t *testing.T, from, to string, f func()) (heard []datagram) {
	t.Helper()
	var file bytes.Buffer
	stop, err := w.network.Capture(from, to, wan.Leaving, &file)
	if err != nil {
		t.Fatal(err)
	}
	f()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	const fileHeader, recordHeader, header4, headerUDP = 24, 16, 20, 8
	for b := file.Bytes()[fileHeader:]; len(b) >= recordHeader; {
		size := binary.LittleEndian.Uint32(b[8:])
		p := slices.Clone(b[recordHeader : recordHeader+size])
		b = b[recordHeader+size:]
		if len(p) <= header4+headerUDP || p[0] != 4<<4|header4/4 || p[9] != syscall.IPPROTO_UDP {
			continue
		}
		if port := binary.BigEndian.Uint16(p[header4+2:]); port == gossipPort || port == linkPort {
			heard = append(heard, datagram{
				packet: p, to: fmt.Sprintf("%v:%d", net.IP(p[16:20]), port), checksum: p[header4+6 : header4+8], payload: p[header4+headerUDP:],
			})
		}
	}
	if len(heard) == 0 {
		t.Fatalf("nothing goes from %s to %s", from, to)
	}
	t.Logf("%d datagrams overheard", len(heard))
	return heard
}

// rubbish throws random bytes at all ports that are for nodes.
func (w *world) rubbish(t *testing.T) {
	t.Helper()
	random := rand.NewChaCha8([32]byte{1})
	for _, n := range w.nodes {
		for _, port := range []int{gossipPort, linkPort} {
			to := fmt.Sprintf("%s:%d", n.address, port)
			for range 200 {
				b := make([]byte, 1+rand.IntN(1400))
				_, _ = random.Read(b) // never fails
				w.throw(t, "udp", to, b)
			}
			for range 5 {
				b := make([]byte, 4000)
				_, _ = random.Read(b) // never fails
				w.throw(t, "tcp", to, b)
			}
		}
	}
}

// throw sends something to a node from abroad, and waits for no answer.
func (w *world) throw(t *testing.T, network, to string, b []byte) {
	t.Helper()
	conn, err := w.network.Site(abroad).Dial(within(t), network, to)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = conn.Write(b) // the node may have hung up
	_ = conn.Close()
}

// forge sends IP packets from abroad as they are, whoever their senders claim to be.
func (w *world) forge(t *testing.T, packets []datagram) {
	t.Helper()
	err := w.network.Site(abroad).Do(func() error {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_RAW)
		if err != nil {
			return fmt.Errorf("raw socket: %w", err)
		}
		defer syscall.Close(fd)
		for _, p := range packets {
			if err := syscall.Sendto(fd, p.packet, 0, &syscall.SockaddrInet4{Addr: [4]byte(p.packet[16:20])}); err != nil {
				return fmt.Errorf("send a packet of another: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// foreigner starts a node of another cluster that looks for this one's nodes, and then dials their links with its certificate.
func (w *world) foreigner(t *testing.T) {
	t.Helper()
	n := w.newNode(t, "foreigner", w.network.Site(abroad), 1, allPlanes)
	b, err := os.ReadFile(n.file)
	if err != nil {
		t.Fatal(err)
	}
	join := fmt.Sprintf("mesh: {join: [%s, %s]}\n", w.nodes[0].address, w.in("us")[0].address)
	if err := os.WriteFile(n.file, append(b, join...), 0o600); err != nil {
		t.Fatal(err)
	}
	knocked := w.counting(t, "us", "cardea_mesh_admissions_strange_total")
	n.start(t, "")
	defer n.stop(t)
	knocked()
	if seen := len(n.members()); seen != 1 {
		t.Errorf("the node of another cluster sees %d nodes", seen)
	}
	t.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true") // the default is enough for a handshake
	files := filepath.Join(w.dir, n.name, "mesh")
	own, err := tls.LoadX509KeyPair(filepath.Join(files, "cluster.pem"), filepath.Join(files, "node.key"))
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range w.in("us") {
		err := w.dialLink(within(t), to, own)
		if refused, ok := errors.AsType[*quic.TransportError](err); !ok || !refused.ErrorCode.IsCryptoError() {
			t.Errorf("a stranger's link to %s is not refused for its certificate: %v", to.name, err)
		}
	}
}

// dialLink dials a node's link from abroad with a certificate, and returns why that has come to nothing.
func (w *world) dialLink(ctx context.Context, to *node, own tls.Certificate) error {
	socket, err := w.network.Site(abroad).ListenPacket(ctx, "udp4", ":0")
	if err != nil {
		return err
	}
	defer socket.Close()
	address := net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(to.address), linkPort))
	conn, err := quic.Dial(ctx, &joiner{PacketConn: socket}, address, &tls.Config{
		Certificates: []tls.Certificate{own}, NextProtos: []string{"cardea/1"}, ServerName: to.identity, InsecureSkipVerify: true,
		MinVersion: tls.VersionTLS13,
	}, &quic.Config{EnableDatagrams: true})
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseWithError(0, "") }()
	stream, err := conn.AcceptStream(ctx)
	if err != nil {
		return err
	}
	_, err = io.ReadAll(stream)
	return fmt.Errorf("the node answers: %w", err)
}

// joiner joins the two parts in which nodes send handshakes to whom they have no keys with: the first byte says which part it
// is, the next four are the packet's number.
type joiner struct {
	net.PacketConn
	head []byte
}

// ReadFrom returns a packet. Parts arrive here in their order.
func (j *joiner) ReadFrom(b []byte) (int, net.Addr, error) {
	const first, second, header = 0x3e, 0x3f, 5
	for {
		n, from, err := j.PacketConn.ReadFrom(b)
		switch {
		case err != nil || n < header:
			return n, from, err
		case b[0] == first:
			j.head = slices.Clone(b[:n])
		case b[0] == second && len(j.head) >= header && bytes.Equal(j.head[1:header], b[1:header]):
			return copy(b, slices.Concat(j.head[header:], b[header:n])), from, nil
		default:
			return n, from, nil
		}
	}
}
