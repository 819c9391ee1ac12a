package member

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"cardea/relay/link"
)

// TLS returns the configuration of links: this node's certificate at either end, which is renewed in place, and the authority
// that others' are checked with. It asks for nothing beyond membership: whose certificate it is, [Cluster.Identify] says. The
// caller owns it.
func (c *Cluster) TLS() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(c.member().authority.cert)
	cfg := c.tls(false)
	cfg.RootCAs, cfg.ClientCAs = roots, roots
	return cfg
}

// Identify returns whose certificate it is. The error wraps [ErrStranger] if it is no current member's.
func (c *Cluster) Identify(cert *x509.Certificate) (link.NodeID, error) {
	id, err := c.member().authority.identify(cert, c.now())
	if err == nil && c.expulsions.has(id) {
		return "", fmt.Errorf("%w: %s was %w", ErrStranger, id, ErrExpelled)
	}
	return id, err
}

// tls is the configuration of both ends of a connection between members. chain sends the authority's certificate along.
func (c *Cluster) tls(chain bool) *tls.Config {
	own := func() *tls.Certificate {
		m := c.member()
		t := &tls.Certificate{Certificate: [][]byte{m.credentials.cert.Raw}, PrivateKey: c.key, Leaf: m.credentials.cert}
		if chain {
			t.Certificate = append(t.Certificate, m.authority.cert.Raw)
		}
		return t
	}
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return own(), nil },
		GetClientCertificate:   func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own(), nil },
		ClientAuth:             tls.RequireAnyClientCert,
		InsecureSkipVerify:     true, // VerifyConnection does it: the other end's name is its key's
		SessionTicketsDisabled: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			_, err := c.identifyPeer(s)
			return err
		},
	}
}

func (c *Cluster) identifyPeer(s tls.ConnectionState) (link.NodeID, error) {
	if len(s.PeerCertificates) == 0 {
		return "", fmt.Errorf("%w: no certificate", ErrStranger)
	}
	return c.Identify(s.PeerCertificates[0])
}

// errName ends the handshake of those who do not know the cluster's id.
var errName = errors.New("not asked for by name")

// admissionServer is the TLS of the admission port's server: a certificate is welcome, and must then be a member's, or that of one who was
// expelled and will be told so.
func (c *Cluster) admissionServer() *tls.Config {
	cfg := c.tls(true)
	cfg.NextProtos = []string{admissionALPN}
	cfg.ClientAuth = tls.RequestClientCert
	member := cfg.VerifyConnection
	cfg.VerifyConnection = func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 {
			return nil
		}
		if err := member(s); !errors.Is(err, ErrExpelled) {
			return err
		}
		return nil
	}
	cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if hello.ServerName != c.member().authority.cluster() || !slices.Contains(hello.SupportedProtos, admissionALPN) {
			return nil, errName
		}
		return nil, nil //nolint:nilnil // go on with the same
	}
	return cfg
}

// admissionClient is the TLS of a member at another's admission port. want may be empty: any member.
func (c *Cluster) admissionClient(want link.NodeID) *tls.Config {
	cfg := c.tls(false)
	cfg.NextProtos = []string{admissionALPN}
	cfg.ServerName = c.member().authority.cluster()
	cfg.VerifyConnection = func(s tls.ConnectionState) error {
		id, err := c.identifyPeer(s)
		if err == nil && want != "" && id != want {
			err = fmt.Errorf("%w: it is %s, not %s", ErrStranger, id, want)
		}
		return err
	}
	return cfg
}

// invitedClient is the TLS of a node with an invitation: whoever answers must have a certificate of the authority with the
// fingerprint. It says who answered.
func (j *joiner) invitedClient(id *link.NodeID) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{admissionALPN},
		ServerName:             j.inv.cluster(),
		InsecureSkipVerify:     true, // see VerifyConnection
		SessionTicketsDisabled: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			for _, cert := range s.PeerCertificates {
				a, err := openAuthority(cert.Raw, nil)
				if err != nil || a.fingerprint() != j.inv.Fingerprint {
					continue
				}
				*id, err = a.identify(s.PeerCertificates[0], j.now())
				if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
					err = fmt.Errorf("%w: %w", errClocks, invalid)
				}
				return err
			}
			return fmt.Errorf("%w: another authority than the invitation's", ErrStranger)
		},
	}
}

// cluster is the id of the cluster that an invitation leads to.
func (inv invitation) cluster() string { return string(idFrom(inv.Fingerprint[:idBytes])) }
