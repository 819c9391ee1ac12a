package node

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"cardea/node/config"
)

// certificate is the node's certificate. It may be replaced while listeners use it: each handshake asks for the present one.
type certificate struct {
	pair atomic.Pointer[tls.Certificate]
}

// readCertificate reads the files of a certificate and its key, nil when the configuration names none.
func readCertificate(cfg config.TLS) (*tls.Certificate, error) {
	if cfg.Certificate == "" {
		return nil, nil //nolint:nilnil // no certificate is no error
	}
	pair, err := tls.LoadX509KeyPair(cfg.Certificate, cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	return &pair, nil
}

// loadCertificate returns the node's certificate, and the TLS configuration of the listeners that use it; both are nil when
// there is none.
func loadCertificate(cfg config.TLS) (*certificate, *tls.Config, error) {
	pair, err := readCertificate(cfg)
	if pair == nil || err != nil {
		return nil, nil, err
	}
	c := &certificate{}
	c.pair.Store(pair)
	return c, &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.pair.Load(), nil },
		MinVersion:     tls.VersionTLS12,
	}, nil
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
