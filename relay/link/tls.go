package link

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

const (
	// alpn names the protocol (RFC 7301). What changes within it is told by versions and features.
	alpn = "cardea/1"
	// secretLabel names the secret that the shields at both ends share (RFC 8446 section 7.5).
	secretLabel = "EXPORTER-cardea-shield"
	secretSize  = 32
)

// Why a certificate is refused.
var (
	errNoCertificate = errors.New("no certificate")
	errNotMember     = errors.New("not a member")
	errImpostor      = errors.New("another node than was dialled")
	errSelf          = errors.New("this node itself")
)

// identify returns whose certificate a connection came with, if it is a member's.
func (e *Endpoint) identify(state *tls.ConnectionState) (NodeID, error) {
	if len(state.PeerCertificates) == 0 {
		return "", errNoCertificate
	}
	leaf := state.PeerCertificates[0]
	if roots := e.cfg.TLS.RootCAs; roots != nil {
		between := x509.NewCertPool()
		for _, c := range state.PeerCertificates[1:] {
			between.AddCert(c)
		}
		// The id stands in for the host name, and every node is client and server.
		opts := x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
		if _, err := leaf.Verify(opts); err != nil {
			return "", err
		}
	}
	id, err := e.cfg.Identify(leaf)
	if err != nil {
		return "", err
	}
	if id == e.cfg.Self {
		return "", errSelf
	}
	if e.cfg.Resolve(id) == nil {
		return "", fmt.Errorf("%w: %s", errNotMember, id)
	}
	return id, nil
}

// tlsConfig returns the configuration of one end. want is whom it dials, "" for whoever dials.
func (e *Endpoint) tlsConfig(want NodeID) *tls.Config {
	c := e.cfg.TLS.Clone()
	also := c.VerifyConnection
	c.NextProtos = []string{alpn}
	c.MinVersion = tls.VersionTLS13
	c.SessionTicketsDisabled = true // each connection shows its certificate anew
	c.InsecureSkipVerify = true     // VerifyConnection does it: ids are no host names
	c.ClientAuth = tls.RequestClientCert
	c.ServerName = string(want)
	c.VerifyConnection = func(state tls.ConnectionState) error {
		id, err := e.identify(&state)
		if err == nil && want != "" && id != want {
			err = fmt.Errorf("%w: %s", errImpostor, id)
		}
		if err == nil && also != nil {
			err = also(state)
		}
		if err != nil {
			e.counters.refused.Add(1)
		}
		return err
	}
	return c
}
