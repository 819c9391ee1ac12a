package peer

import (
	"cmp"
	"context"
	"crypto/sha1" //nolint:gosec // RFC 8122 lets a peer announce SHA-1; the hash is not ours to choose
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/logging"
	"github.com/pion/transport/v5/packetio"

	"cardea/relay/plane"
	"cardea/relay/srtp"
)

const (
	// handshakeTimeout is what Janus gives a DTLS handshake.
	handshakeTimeout = 20 * time.Second
	// flightInterval is the first retransmission timeout: below RFC 6347's second, since ICE has just measured that the
	// path is alive and a lost flight delays the first frame.
	flightInterval = 250 * time.Millisecond
	// dtlsMTU is Janus's dtls_mtu.
	dtlsMTU = 1200
	// dtlsBacklog bounds what an unauthenticated client can make us hold, in packets.
	dtlsBacklog = 64
)

// wire is the peer's transport as pion/dtls wants it: reads what the socket loops hand over, writes to the selected path.
type wire struct {
	p     *Peer
	in    *packetio.Buffer
	taken atomic.Int64 // records put in
	asked atomic.Int64 // reads begun
	cut   atomic.Bool  // nothing is written any more
}

func newWire(p *Peer) *wire {
	in := packetio.NewBuffer()
	in.SetLimitCount(dtlsBacklog)
	return &wire{p: p, in: in}
}

// put hands over a datagram. A full backlog drops it: DTLS sends again.
func (w *wire) put(b []byte) {
	w.taken.Add(1)
	if _, err := w.in.Write(b, nil); err != nil {
		w.taken.Add(-1)
	}
}

// idle tells whether all that was put in has been dealt with: the reader is back for more.
func (w *wire) idle() bool { return w.asked.Load() > w.taken.Load() }

func (w *wire) ReadFrom(b []byte) (int, net.Addr, error) {
	w.asked.Add(1)
	n, _, err := w.in.Read(b, nil)
	return n, wireAddr{}, err
}

func (w *wire) WriteTo(b []byte, _ net.Addr) (int, error) {
	if !w.cut.Load() {
		w.p.send(b)
	}
	return len(b), nil
}

func (w *wire) Close() error                       { return w.in.Close() }
func (w *wire) LocalAddr() net.Addr                { return wireAddr{} }
func (w *wire) SetDeadline(t time.Time) error      { return w.in.SetReadDeadline(t) }
func (w *wire) SetReadDeadline(t time.Time) error  { return w.in.SetReadDeadline(t) }
func (w *wire) SetWriteDeadline(_ time.Time) error { return nil } // writes never wait

// wireAddr stands for whatever path ICE has selected.
type wireAddr struct{}

func (wireAddr) Network() string { return "ice" }
func (wireAddr) String() string  { return "ice" }

// quiet drops pion's log lines: what goes wrong is returned to us as errors too.
type quiet struct{}

func (quiet) NewLogger(string) logging.LeveledLogger {
	return logging.NewDefaultLeveledLoggerForScope("", logging.LogLevelDisabled, nil)
}

var errFingerprint = errors.New("certificate does not match the fingerprint in the SDP")

// verifyFingerprint checks a certificate against the fingerprints the client announced (RFC 8122): one of them must match.
func verifyFingerprint(der []byte, announced []plane.Fingerprint) error {
	for _, f := range announced {
		var sum []byte
		switch f.Algorithm {
		case "sha-1":
			s := sha1.Sum(der) //nolint:gosec // see the import
			sum = s[:]
		case "sha-256":
			s := sha256.Sum256(der)
			sum = s[:]
		case "sha-384":
			s := sha512.Sum384(der)
			sum = s[:]
		case "sha-512":
			s := sha512.Sum512(der)
			sum = s[:]
		default:
			continue
		}
		if subtle.ConstantTimeCompare([]byte(formatFingerprint(sum)), []byte(strings.ToUpper(f.Value))) == 1 {
			return nil
		}
	}
	return errFingerprint
}

// profiles are offered and accepted in this order: AES-128-GCM costs a third of AES-CM with HMAC.
var profiles = []dtls.SRTPProtectionProfile{
	dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AEAD_AES_256_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80,
}

// newDTLS makes the node's end of the DTLS connection.
func (p *Peer) newDTLS(w *wire, active bool, announced []plane.Fingerprint) (*dtls.Conn, error) {
	options := []dtls.Option{
		dtls.WithCertificates(p.env.Certificate),
		dtls.WithSRTPProtectionProfiles(profiles...),
		dtls.WithInsecureSkipVerify(true), // self-signed by design: the fingerprint is what is verified
		dtls.WithExtendedMasterSecret(dtls.RequestExtendedMasterSecret),
		dtls.WithFlightInterval(flightInterval),
		dtls.WithMTU(dtlsMTU),
		dtls.WithLoggerFactory(quiet{}),
		dtls.WithVerifyPeerCertificate(func(raw [][]byte, _ [][]*x509.Certificate) error {
			if len(raw) == 0 {
				return errFingerprint
			}
			return verifyFingerprint(raw[0], announced)
		}),
	}
	if active {
		client := make([]dtls.ClientOption, len(options))
		for i, o := range options {
			client[i] = o
		}
		return dtls.ClientWithOptions(w, wireAddr{}, client...)
	}
	server := make([]dtls.ServerOption, len(options), len(options)+2)
	for i, o := range options {
		server[i] = o
	}
	server = append(server,
		dtls.WithClientAuth(dtls.RequireAnyClientCert),
		dtls.WithInsecureSkipVerifyHello(true), // ICE has verified the address; the cookie would cost a round trip
	)
	return dtls.ServerWithOptions(w, wireAddr{}, server...)
}

// runDTLS makes the handshake, lets media flow, and waits for the end of the connection. It returns the reason for
// hanging up in Janus's words.
func (p *Peer) runDTLS(ctx context.Context, w *wire, active bool, announced []plane.Fingerprint) string {
	conn, err := p.newDTLS(w, active, announced)
	if err != nil {
		return p.handshakeFailed(err)
	}
	p.env.Emit(plane.Event{Peer: p.id, Type: plane.EventDTLS, State: "trying"})
	handshake, cancel := context.WithTimeout(ctx, handshakeTimeout)
	err = conn.HandshakeContext(handshake)
	timedOut := errors.Is(handshake.Err(), context.DeadlineExceeded)
	cancel()
	if err == nil {
		err = p.deriveKeys(conn, active)
	}
	if err != nil {
		_ = conn.Close()
		if ctx.Err() != nil {
			return "" // closed meanwhile, which is no failure
		}
		if timedOut {
			p.env.Metrics.HandshakeFailures.Add(1)
			p.env.Emit(plane.Event{Peer: p.id, Type: plane.EventDTLS, State: "failed"})
			return "DTLS timeout"
		}
		return p.handshakeFailed(err)
	}
	p.connected()
	return p.attend(ctx, conn, w, active)
}

// attend looks after an established connection until it ends or is put away, and returns the reason for hanging up.
func (p *Peer) attend(ctx context.Context, conn *dtls.Conn, w *wire, active bool) string {
	reason := p.awaitEnd(ctx, conn, w, active)
	_ = conn.Close()
	return reason
}

func (p *Peer) handshakeFailed(err error) string {
	p.env.Metrics.HandshakeFailures.Add(1)
	p.env.Emit(plane.Event{Peer: p.id, Type: plane.EventDTLS, State: "failed"})
	p.log.Info("DTLS handshake failed", "error", err)
	return "DTLS error"
}

// deriveKeys takes the SRTP keys out of the handshake (RFC 5764 section 4.2).
func (p *Peer) deriveKeys(conn *dtls.Conn, active bool) error {
	selected, ok := conn.SelectedSRTPProtectionProfile()
	if !ok || !slices.Contains(profiles, selected) {
		return errors.New("no common SRTP profile")
	}
	profile := srtp.Profile(selected)
	state, ok := conn.ConnectionState()
	if !ok {
		return errors.New("no DTLS state")
	}
	key, salt := profile.KeyLen(), profile.SaltLen()
	m, err := state.ExportKeyingMaterial("EXTRACTOR-dtls_srtp", nil, 2*(key+salt))
	if err != nil {
		return fmt.Errorf("export SRTP keys: %w", err)
	}
	clientKey, serverKey := m[:key], m[key:2*key]
	clientSalt, serverSalt := m[2*key:2*key+salt], m[2*key+salt:]
	client, err := srtp.NewKeys(profile, clientKey, clientSalt)
	if err != nil {
		return err
	}
	server, err := srtp.NewKeys(profile, serverKey, serverSalt)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.profile = profile
	if active {
		p.in = server
		p.out.Store(client)
	} else {
		p.in = client
		p.out.Store(server)
	}
	return nil
}

// awaitEnd reads until the client closes or the connection is put away, handing it to SCTP as soon as a data line is agreed.
func (p *Peer) awaitEnd(ctx context.Context, conn *dtls.Conn, w *wire, active bool) string {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, 64) // application data before SCTP is not ours; its size does not matter
	for {
		_ = conn.SetReadDeadline(time.Now().Add(cmp.Or(p.env.restAfter, restAfter)))
		if ctx.Err() != nil { // looked at behind the deadline, which says the same and may just have been taken away
			return ""
		}
		data, wants := p.awaitDataLine(conn)
		if wants {
			_ = conn.SetReadDeadline(time.Time{}) // nobody sets it any more, but for the end
			if ctx.Err() != nil {
				return ""
			}
			return p.runChannels(ctx, conn, active, data)
		}
		_, err := conn.Read(buf)
		switch {
		case ctx.Err() != nil:
			return ""
		case isTimeout(err):
			if p.rest(conn, w, active) {
				return ""
			}
		case err != nil && !isShortBuffer(err):
			return "DTLS alert"
		}
	}
}

// awaitDataLine returns the agreed data line or, without one, sees to it that the reader is woken when there is.
func (p *Peer) awaitDataLine(conn *dtls.Conn) (plane.Line, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	line, ok := p.dataLine()
	if !ok {
		p.wakeDTLS = func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) }
	}
	return line, ok
}

func isTimeout(err error) bool { return errors.Is(err, context.DeadlineExceeded) }

// isShortBuffer tells pion/dtls's complaint about a record larger than the buffer, which ends nothing.
func isShortBuffer(err error) bool {
	var temporary interface{ Temporary() bool }
	return errors.As(err, &temporary) && temporary.Temporary()
}
