package rtc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/logging"

	"cardea/relay/srtp"
)

// flightInterval is libwebrtc's first retransmission timeout of DTLS.
const flightInterval = 50 * time.Millisecond

// profiles are offered in this order, as browsers do.
var profiles = []dtls.SRTPProtectionProfile{
	dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AEAD_AES_256_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80,
}

// Identity is the certificate that clients show. All clients of a process share one: making one each would only cost time.
type Identity struct {
	certificate tls.Certificate
	// Fingerprint is the certificate's SHA-256, as SDP has it.
	Fingerprint string
}

// NewIdentity makes a self-signed certificate.
func NewIdentity() (*Identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "WebRTC"},
		NotBefore:    time.Now().Add(-24 * time.Hour),
		NotAfter:     time.Now().Add(30 * 24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	return &Identity{tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, fingerprint(der)}, nil
}

// keys protect what is received and sent.
type keys struct{ in, out *srtp.Keys }

// handshake makes the DTLS connection and takes the SRTP keys out of it (RFC 5764 section 4.2).
func handshake(ctx context.Context, w wire, id *Identity, r Remote) (*dtls.Conn, keys, error) {
	options := []dtls.Option{
		dtls.WithCertificates(id.certificate),
		dtls.WithSRTPProtectionProfiles(profiles...),
		dtls.WithInsecureSkipVerify(true), // self-signed by design: the fingerprint is what is verified
		dtls.WithVerifyPeerCertificate(func(raw [][]byte, _ [][]*x509.Certificate) error { return verify(raw, r.Fingerprints) }),
		dtls.WithFlightInterval(flightInterval),
		dtls.WithLoggerFactory(quiet{}),
	}
	conn, err := dial(w, r.Active, options)
	if err != nil {
		return nil, keys{}, fmt.Errorf("DTLS: %w", err)
	}
	if err = conn.HandshakeContext(ctx); err == nil {
		var k keys
		if k, err = derive(conn, !r.Active); err == nil {
			return conn, k, nil
		}
	}
	return nil, keys{}, errors.Join(fmt.Errorf("DTLS: %w", err), conn.Close())
}

// dial makes a connection that has not shaken hands. client says that the other side is DTLS's client.
func dial(w wire, client bool, options []dtls.Option) (*dtls.Conn, error) {
	if !client {
		list := make([]dtls.ClientOption, len(options))
		for i, o := range options {
			list[i] = o
		}
		return dtls.ClientWithOptions(w, wireAddr{}, list...)
	}
	list := []dtls.ServerOption{
		dtls.WithClientAuth(dtls.RequireAnyClientCert),
		dtls.WithInsecureSkipVerifyHello(true), // ICE has verified the address
	}
	for _, o := range options {
		list = append(list, o)
	}
	return dtls.ServerWithOptions(w, wireAddr{}, list...)
}

func derive(conn *dtls.Conn, client bool) (k keys, err error) {
	selected, ok := conn.SelectedSRTPProtectionProfile()
	state, known := conn.ConnectionState()
	if !ok || !known {
		return k, errors.New("no common SRTP profile")
	}
	profile := srtp.Profile(selected)
	key, salt := profile.KeyLen(), profile.SaltLen()
	m, err := state.ExportKeyingMaterial("EXTRACTOR-dtls_srtp", nil, 2*(key+salt))
	if err != nil {
		return k, fmt.Errorf("export keys: %w", err)
	}
	ofClient, err := srtp.NewKeys(profile, m[:key], m[2*key:2*key+salt])
	if err != nil {
		return k, err
	}
	ofServer, err := srtp.NewKeys(profile, m[key:2*key], m[2*key+salt:])
	if err != nil {
		return k, err
	}
	if client {
		return keys{in: ofServer, out: ofClient}, nil
	}
	return keys{in: ofClient, out: ofServer}, nil
}

// quiet drops pion's log lines: what goes wrong is returned as errors too.
type quiet struct{}

func (quiet) NewLogger(string) logging.LeveledLogger {
	return logging.NewDefaultLeveledLoggerForScope("", logging.LogLevelDisabled, nil)
}
