package member

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// renewRetry lies between attempts to get a new certificate.
const renewRetry = time.Minute

// renew gets a new certificate when two thirds of the present one's life are over.
func (c *Cluster) renew() {
	m := c.member()
	now := c.now()
	if now.Before(m.credentials.cert.NotAfter.Add(renewAfter-certificateLife)) || now.Before(c.nextRenewal) {
		return
	}
	if m.authority.key == nil && !slices.ContainsFunc(c.table.live(), func(d described) bool { return d.Authority }) {
		return // nobody to ask yet
	}
	c.nextRenewal = now.Add(renewRetry)
	c.jobs.start("renew", func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, 2*askTime)
		defer cancel()
		if err := c.renewOwn(ctx); err != nil {
			c.log.Warn("the certificate cannot be renewed yet", "expires", m.credentials.cert.NotAfter, "error", err)
		}
	})
}

// renewOwn replaces this node's certificate.
func (c *Cluster) renewOwn(ctx context.Context) error {
	csr, err := newRequest(c.key)
	if err != nil {
		return err
	}
	i, err := c.renewFor(ctx, renewRequest{c.member().credentials.cert.Raw, csr})
	if err != nil {
		return err
	}
	given, err := i.credentials()
	if err != nil {
		return err
	}
	c.memberMu.Lock()
	defer c.memberMu.Unlock()
	m := *c.member()
	if err := given.check(m.authority, c.public(), c.now()); err != nil {
		return err
	}
	m.credentials = given
	if err := c.storage.saveMembership(m); err != nil {
		return err
	}
	c.membership.Store(&m)
	c.log.Info("certificate renewed", "expires", given.cert.NotAfter)
	c.wakeUp()
	return nil
}

// renewFor issues a new certificate to a member, or passes that on to a holder of the authority's key. The request proves
// itself: a current certificate, and a signature by its key. So it may come from anybody.
func (c *Cluster) renewFor(ctx context.Context, req renewRequest) (issued, error) {
	a := c.member().authority
	cert, err := x509.ParseCertificate(req.Certificate)
	if err != nil {
		return issued{}, fmt.Errorf("certificate: %w", err)
	}
	if _, err := c.Identify(cert); err != nil {
		return issued{}, err
	}
	public, err := certified(req.CSR)
	if err != nil {
		return issued{}, err
	}
	if own, ok := cert.PublicKey.(ed25519.PublicKey); !ok || !own.Equal(public) {
		return issued{}, fmt.Errorf("%w: the request is for another key than the certificate", ErrStranger)
	}
	if a.key == nil {
		r, err := c.askHolder(ctx, &request{Renew: &req})
		if err == nil && r.Issued == nil {
			err = errors.New("an answer to something else")
		}
		if err != nil {
			return issued{}, err
		}
		return *r.Issued, nil
	}
	given, err := a.issue(public, c.now())
	if err != nil {
		return issued{}, err
	}
	c.counters.renewed.Add(1)
	return issued{given.cert.Raw, given.pass}, nil
}
