package member

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"cardea/relay/link"
)

// joiner redeems an invitation.
type joiner struct {
	inv   invitation
	key   ed25519.PrivateKey
	local netip.Addr
	now   func() time.Time

	expulsions [][]byte // once it has joined
}

// errClocks says that a member's certificate is not yet, or no longer, good by this machine's clock.
var errClocks = errors.New("the clocks of this machine and the mesh are far apart")

// joinPause lies between rounds through the addresses of an invitation.
const joinPause = time.Second

// join tries the addresses of the invitation in turn until the context ends. A refusal ends it at once.
func (j *joiner) join(ctx context.Context) (membership, []peer, error) {
	if len(j.inv.Addresses) == 0 {
		return membership{}, nil, fmt.Errorf("%w: it has no addresses", errInvitation)
	}
	for {
		var errs []error
		clocks, reached := 0, 0
		for _, a := range j.inv.Addresses {
			m, peers, err := j.at(ctx, a)
			if err == nil {
				return m, peers, nil
			}
			err = fmt.Errorf("join at %s: %w", a, err)
			if errors.Is(err, ErrRefused) {
				if !j.now().Before(j.inv.Expires) {
					err = fmt.Errorf("%w (it expired at %s)", err, j.inv.Expires.Format(time.DateTime))
				}
				return membership{}, nil, err
			}
			errs = append(errs, err)
			if _, network := errors.AsType[*net.OpError](err); !network {
				reached++
			}
			if errors.Is(err, errClocks) {
				clocks++
			}
		}
		if clocks > 0 && clocks == reached { // it is this machine's clock, rather than one member's; waiting does not change it
			return membership{}, nil, errors.Join(errs...)
		}
		select {
		case <-ctx.Done():
			return membership{}, nil, errors.Join(errs...)
		case <-time.After(joinPause):
		}
	}
}

// at redeems the invitation at one address: with the issuer itself, or carried to it by another member.
func (j *joiner) at(ctx context.Context, to netip.AddrPort) (membership, []peer, error) {
	var m membership
	var id link.NodeID
	conn, err := dialFrom(ctx, j.local, to, j.invitedClient(&id))
	if err != nil {
		return m, nil, err
	}
	defer closing(ctx, conn)()
	if id != j.inv.Issuer {
		hash := j.inv.hash()
		var r reply
		if err = writeMessage(conn, &request{Carry: &carryRequest{j.inv.claims(), hash[:], j.inv.Signature[:]}}); err != nil {
			return m, nil, err
		}
		if err = readMessage(conn, maxReply, &r); err != nil {
			return m, nil, err
		}
		if err = r.err(); err != nil {
			return m, nil, err
		}
		conn = tls.Client(conn, j.invitedClient(&id))
		if err = conn.HandshakeContext(ctx); err != nil {
			return m, nil, err
		}
		if id != j.inv.Issuer {
			return m, nil, fmt.Errorf("%w: it is %s, not the issuer of the invitation", ErrStranger, id)
		}
	}
	csr, err := newRequest(j.key)
	if err != nil {
		return m, nil, err
	}
	r, err := exchange(ctx, conn, &request{Join: &joinRequest{j.inv.Key[:], csr}})
	if err != nil {
		return m, nil, err
	}
	if r.Join == nil {
		return m, nil, errors.New("an answer to something else")
	}
	j.expulsions = r.Expulsions
	return j.accept(r.Join)
}

// newRequest makes a certificate request for a key.
func newRequest(key ed25519.PrivateKey) ([]byte, error) {
	id := idOf(key.Public().(ed25519.PublicKey)) //nolint:forcetypeassert // of an Ed25519 key
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: string(id)}}, key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate request: %w", err)
	}
	return csr, nil
}

// accept checks what the issuer sent.
func (j *joiner) accept(r *joinReply) (membership, []peer, error) {
	var m membership
	var key ed25519.PrivateKey
	var err error
	if len(r.AuthorityKey) > 0 {
		if key, err = parseKeyBlock(r.AuthorityKey); err != nil {
			return m, nil, err
		}
	}
	if m.authority, err = openAuthority(r.Authority, key); err != nil {
		return m, nil, err
	}
	if m.authority.fingerprint() != j.inv.Fingerprint {
		return m, nil, fmt.Errorf("%w: another authority than the invitation's", ErrStranger)
	}
	if m.credentials, err = r.Issued.credentials(); err != nil {
		return m, nil, err
	}
	public := j.key.Public().(ed25519.PublicKey) //nolint:forcetypeassert // of an Ed25519 key
	if err = m.credentials.check(m.authority, public, j.now()); err != nil {
		return m, nil, fmt.Errorf("the certificate is not good: %w (are both clocks right?)", err)
	}
	m.rawRing = r.Ring
	if m.ring, err = parseRing(r.Ring, m.authority); err != nil {
		return m, nil, err
	}
	return m, peersOf(r.Peers, j.now()), nil
}

func (i issued) credentials() (credentials, error) {
	cert, err := x509.ParseCertificate(i.Certificate)
	if err != nil {
		return credentials{}, fmt.Errorf("certificate: %w", err)
	}
	return credentials{cert, i.Pass}, nil
}

// peersOf reads what somebody says of where nodes are.
func peersOf(records []peerRecord, now time.Time) []peer {
	var all []peer
	for _, r := range records[:min(len(records), maxReplyPeers)] {
		if p, err := r.peer(); err == nil {
			p.Seen = now
			all = append(all, p)
		}
	}
	return all
}
