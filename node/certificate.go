package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"cardea/node/config"
)

// certificate is the node's certificate. It may be replaced while listeners use it: each handshake asks for the present one.
type certificate struct {
	pair atomic.Pointer[tls.Certificate]
}

// readCertificate reads the files of a certificate and its key, nil when the configuration names none. The error is a fault of the option
// whose file it is about.
func readCertificate(cfg config.TLS) (*tls.Certificate, error) {
	if cfg.Certificate == "" {
		return nil, nil //nolint:nilnil // no certificate is no error
	}
	return readPair("tls", cfg.Certificate, cfg.Key)
}

// readPair reads a certificate and its key, which the options certificate and key of a section name.
func readPair(section, certificate, key string) (*tls.Certificate, error) {
	chain, err := os.ReadFile(certificate)
	if err != nil {
		return nil, fault(section+".certificate", err)
	}
	secret, err := os.ReadFile(key)
	if err != nil {
		return nil, fault(section+".key", err)
	}
	if block, _ := pem.Decode(secret); block == nil {
		return nil, fault(section+".key", fmt.Errorf("%s: no PEM block in it", key))
	}
	if !hasCertificate(chain) {
		return nil, fault(section+".certificate", fmt.Errorf("%s: no certificate in it", certificate))
	}
	pair, err := tls.X509KeyPair(chain, secret)
	if err != nil {
		return nil, fault(section+".key", fmt.Errorf("%s, with the certificate in %s: %s", key, certificate, strings.TrimPrefix(err.Error(), "tls: ")))
	}
	return &pair, nil
}

// hasCertificate tells whether the first certificate of a PEM file can be read.
func hasCertificate(chain []byte) bool {
	for {
		block, rest := pem.Decode(chain)
		if block == nil {
			return false
		}
		if chain = rest; block.Type == "CERTIFICATE" {
			_, err := x509.ParseCertificate(block.Bytes)
			return err == nil
		}
	}
}

// outOfDate says how a certificate is out of date; "" if it is not.
func outOfDate(pair *tls.Certificate, now time.Time) string {
	switch {
	case now.After(pair.Leaf.NotAfter):
		return "expired on " + pair.Leaf.NotAfter.UTC().Format(time.DateOnly)
	case now.Before(pair.Leaf.NotBefore):
		return "is not valid before " + pair.Leaf.NotBefore.UTC().Format(time.DateOnly)
	}
	return ""
}

// newCertificate returns what listeners use, with their TLS configuration; both are nil without a certificate.
func newCertificate(pair *tls.Certificate) (*certificate, *tls.Config) {
	if pair == nil {
		return nil, nil
	}
	c := &certificate{}
	c.pair.Store(pair)
	return c, &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.pair.Load(), nil },
		MinVersion:     tls.VersionTLS12,
	}
}

// lookAtFiles is how often the certificate's files are looked at: whoever renews them need not tell the node.
const lookAtFiles = time.Minute

// stamp tells one state of the certificate's files from another.
type stamp [2]struct {
	size    int64
	changed time.Time
}

func stampOf(cfg config.TLS) (s stamp, err error) {
	for i, name := range []string{cfg.Certificate, cfg.Key} {
		info, err := os.Stat(name)
		if err != nil {
			return s, fmt.Errorf("tls: %w", err)
		}
		s[i].size, s[i].changed = info.Size(), info.ModTime()
	}
	return s, nil
}

// follow reads the certificate's files again whenever they have changed, until ctx ends. Files that do not fit together, as between
// two writes, are tried again; the certificate in use stays until then.
func (c *certificate) follow(ctx context.Context, cfg config.TLS, log *slog.Logger) error {
	clock := time.NewTicker(lookAtFiles)
	defer clock.Stop()
	known, _ := stampOf(cfg) // zero if not there just now: then they are read when they are
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-clock.C:
		}
		now, err := stampOf(cfg)
		if err == nil && now == known {
			continue
		}
		var pair *tls.Certificate
		if err == nil {
			pair, err = readCertificate(cfg)
		}
		if err != nil {
			log.Warn("certificate not read again, the one in use stays", "error", err)
			continue
		}
		known = now
		c.pair.Store(pair)
		log.Info("certificate read again", "expires", pair.Leaf.NotAfter)
	}
}
