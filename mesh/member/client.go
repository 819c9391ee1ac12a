package member

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"cardea/relay/link"
)

// dialTime bounds how long a TCP connection may take to come up.
const dialTime = 3 * time.Second

// ErrRefused says that a member refused a request: the invitation is wrong, expired or used up; it does not say which.
var ErrRefused = errors.New("refused: the invitation is wrong, expired or used already")

// err returns what a reply complains of.
func (r *reply) err() error {
	switch r.Code {
	case done:
		return nil
	case refused:
		return ErrRefused
	case failed:
	}
	return errors.New(clip(r.Text, 256))
}

// dialFrom opens a TLS session with an admission port, from a local address if that is valid. The session ends after
// admissionTime. The caller closes it.
func dialFrom(ctx context.Context, local netip.Addr, to netip.AddrPort, cfg *tls.Config) (*tls.Conn, error) {
	d := net.Dialer{Timeout: dialTime}
	if local.IsValid() && !local.IsUnspecified() && local.Is4() == to.Addr().Is4() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(local, 0))
	}
	raw, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, err
	}
	_ = raw.SetDeadline(time.Now().Add(admissionTime))
	conn := tls.Client(raw, cfg)
	shake, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	if err := conn.HandshakeContext(shake); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("%s: %w", to, err)
	}
	return conn, nil
}

// exchange sends a request on a session and reads the reply.
func exchange(ctx context.Context, conn net.Conn, req *request) (*reply, error) {
	defer closing(ctx, conn)()
	var r reply
	if err := writeMessage(conn, req); err != nil {
		return nil, err
	}
	if err := readMessage(conn, maxReply, &r); err != nil {
		return nil, err
	}
	return &r, r.err()
}

// dial opens a session with a member at the first of its addresses that answers. want may be empty: any member.
func (c *Cluster) dial(ctx context.Context, addresses []netip.AddrPort, want link.NodeID) (*tls.Conn, error) {
	errs := []error{errors.New("no address")}
	for i, a := range addresses {
		conn, err := dialFrom(ctx, c.cfg.Bind, a, c.admissionClient(want))
		if err == nil {
			return conn, nil
		}
		errs = append(errs[:i], err)
	}
	return nil, errors.Join(errs...)
}

// ask sends a request to a member.
func (c *Cluster) ask(ctx context.Context, addresses []netip.AddrPort, want link.NodeID, req *request) (*reply, error) {
	conn, err := c.dial(ctx, addresses, want)
	if err != nil {
		return nil, err
	}
	r, err := exchange(ctx, conn, req)
	if r != nil {
		c.learn(r.Expulsions)
	}
	return r, err
}

// askHolder sends a request to live holders of the authority's key, until one meets it.
func (c *Cluster) askHolder(ctx context.Context, req *request) (*reply, error) {
	err := errors.New("no node that holds the authority's key is there")
	for _, n := range c.table.live() {
		if !n.Authority {
			continue
		}
		var r *reply
		if r, err = c.ask(ctx, n.Links, n.ID, req); err == nil {
			return r, nil
		}
		err = fmt.Errorf("ask %s: %w", n.ID, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, err
}
