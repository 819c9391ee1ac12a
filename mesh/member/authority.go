package member

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"

	"cardea/relay/link"
)

const (
	authorityLife   = 20 * 365 * 24 * time.Hour
	certificateLife = 90 * 24 * time.Hour
	renewAfter      = certificateLife * 2 / 3
	clockSkew       = 24 * time.Hour // how far clocks of nodes may be apart when a certificate begins
)

// ErrStranger says that a certificate was not issued by the cluster's authority, or not to whom it names, or is out of date.
var ErrStranger = errors.New("not a member of this cluster")

// authority issues and checks certificates of members. key is nil where only checking is possible.
type authority struct {
	cert *x509.Certificate
	key  ed25519.PrivateKey
}

// fingerprint is the SHA-256 of the authority's public key.
type fingerprint [sha256.Size]byte

// newAuthority makes an authority, and with it a cluster.
func newAuthority(now time.Time) (*authority, error) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make an authority: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "cardea authority " + string(idOf(public))},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(authorityLife),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	if err != nil {
		return nil, fmt.Errorf("make an authority: %w", err)
	}
	return openAuthority(der, key)
}

// openAuthority reads an authority's certificate. key may be nil.
func openAuthority(der []byte, key ed25519.PrivateKey) (*authority, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	public, ok := cert.PublicKey.(ed25519.PublicKey)
	if !ok || !cert.IsCA {
		return nil, errors.New("authority: the certificate is not an authority's")
	}
	if err := cert.CheckSignatureFrom(cert); err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	if key != nil && !public.Equal(key.Public()) {
		return nil, errors.New("authority: the key belongs to another certificate")
	}
	return &authority{cert: cert, key: key}, nil
}

func (a *authority) public() ed25519.PublicKey {
	return a.cert.PublicKey.(ed25519.PublicKey) //nolint:forcetypeassert // checked by openAuthority
}

func (a *authority) fingerprint() fingerprint { return sha256.Sum256(a.public()) }

// cluster is the cluster's id.
func (a *authority) cluster() string { return string(idOf(a.public())) }

// errNoAuthority says that something needs the authority's key.
var errNoAuthority = errors.New("this node does not hold the authority's key")

// issue makes the credentials of the node with a public key.
func (a *authority) issue(public ed25519.PublicKey, now time.Time) (credentials, error) {
	if a.key == nil {
		return credentials{}, errNoAuthority
	}
	serial := make([]byte, 16)
	if _, err := rand.Read(serial); err != nil {
		return credentials{}, fmt.Errorf("issue a certificate: %w", err)
	}
	id := string(idOf(public))
	template := &x509.Certificate{
		SerialNumber:          new(big.Int).SetBytes(serial),
		Subject:               pkix.Name{CommonName: id},
		DNSNames:              []string{id},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(certificateLife),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, public, a.key)
	if err != nil {
		return credentials{}, fmt.Errorf("issue a certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return credentials{}, fmt.Errorf("issue a certificate: %w", err)
	}
	p := pass{Until: cert.NotAfter.Unix()}
	p.Signature = ed25519.Sign(a.key, p.content(a.cluster(), public))
	return credentials{cert: cert, pass: p}, nil
}

// identify returns whose certificate it is, if it is a current member's.
func (a *authority) identify(cert *x509.Certificate, now time.Time) (link.NodeID, error) {
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	_, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrStranger, err)
	}
	public, ok := cert.PublicKey.(ed25519.PublicKey)
	if !ok || cert.IsCA || string(idOf(public)) != cert.Subject.CommonName {
		return "", fmt.Errorf("%w: the certificate of %.40q is no node's", ErrStranger, cert.Subject.CommonName)
	}
	return idOf(public), nil
}

// credentials is what an authority gives a member.
type credentials struct {
	cert *x509.Certificate
	pass pass
}

// check tells whether the credentials are those of a key.
func (c credentials) check(a *authority, public ed25519.PublicKey, now time.Time) error {
	if _, err := a.identify(c.cert, now); err != nil {
		return err
	}
	if own, ok := c.cert.PublicKey.(ed25519.PublicKey); !ok || !bytes.Equal(own, public) {
		return errors.New("the certificate belongs to another key")
	}
	return c.pass.check(a, public, now)
}

// pass is the authority's signature of a node's key in the 72 bytes that fit into metadata, where a certificate does not.
type pass struct {
	Until     int64  `pb:"1"` // Unix time, seconds
	Signature []byte `pb:"2"`
}

func (p pass) content(cluster string, public ed25519.PublicKey) []byte {
	return fmt.Appendf(nil, "cardea member\n%s\n%d\n%x", cluster, p.Until, []byte(public))
}

func (p pass) check(a *authority, public ed25519.PublicKey, now time.Time) error {
	if len(public) != ed25519.PublicKeySize || !ed25519.Verify(a.public(), p.content(a.cluster(), public), p.Signature) {
		return fmt.Errorf("%w: the pass is not the authority's", ErrStranger)
	}
	if now.Unix() > p.Until {
		return fmt.Errorf("%w: the pass has expired", ErrStranger)
	}
	return nil
}
