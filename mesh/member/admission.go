package member

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"cardea/relay/link"
)

const (
	// admissionTime bounds a connection to the admission port, handshake included.
	admissionTime = 10 * time.Second
	// handshakeTime bounds the handshake.
	handshakeTime = 5 * time.Second
)

// admission serves the admission port.
type admission struct {
	c        *Cluster
	listener net.Listener
	limits   *limiter
	orders   *rate.Limiter // of expulsions
	ledger   struct {
		sync.Mutex
		ledger
	}
}

// serve accepts until the listener is closed, and waits for the connections that are open then.
func (a *admission) serve(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		conn, err := a.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors, most likely
			a.c.log.Warn("cannot accept at the admission port", "error", err)
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		release, ok := a.limits.take(conn.RemoteAddr(), a.c.now())
		if !ok {
			a.c.counters.limited.Add(1)
			_ = conn.Close()
			continue
		}
		wg.Go(func() {
			defer release()
			defer closing(ctx, conn)()
			_ = conn.SetDeadline(time.Now().Add(admissionTime))
			a.session(ctx, conn, "")
		})
	}
}

// closing closes a connection when the context ends, or when the returned function is called.
func closing(ctx context.Context, conn net.Conn) func() {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	return func() {
		stop()
		_ = conn.Close()
	}
}

// session serves one TLS session. carrier is the member in whose session it came; empty: it came by itself.
func (a *admission) session(ctx context.Context, raw net.Conn, carrier link.NodeID) {
	conn := tls.Server(raw, a.c.admissionServer())
	shake, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	if err := conn.HandshakeContext(shake); err != nil {
		a.c.counters.strange.Add(1)
		a.c.log.Debug("handshake at the admission port failed", "remote", raw.RemoteAddr(), "error", err)
		return
	}
	from := link.NodeID("")
	if certs := conn.ConnectionState().PeerCertificates; len(certs) > 0 {
		from = link.NodeID(certs[0].Subject.CommonName) // checked by the handshake
	}
	var req request
	if err := readMessage(conn, maxRequest, &req); err != nil {
		a.c.log.Debug("bad request at the admission port", "remote", raw.RemoteAddr(), "from", from, "error", err)
		return
	}
	if raw := a.c.expulsions.of(from); raw != nil {
		a.turnAway(conn, from, raw)
		return
	}
	switch {
	case req.Carry != nil && carrier == "":
		a.carry(ctx, conn, *req.Carry)
		return
	case req.Carried != nil && carrier == "" && from != "":
		if writeMessage(conn, &reply{}) == nil {
			a.session(ctx, conn, from)
		}
		return
	}
	r, err := a.answer(ctx, from, &req)
	if err != nil {
		r = a.refusal(from, carrier, raw.RemoteAddr(), err)
	}
	if raw := a.c.expulsions.of(from); raw != nil { // meanwhile, and the answer may have the keys that it must not get
		a.turnAway(conn, from, raw)
		return
	}
	if from != "" || r.Join != nil {
		r.Expulsions = a.c.expulsions.all()
	}
	_ = writeMessage(conn, r)
	_ = conn.Close()
}

// turnAway tells one who was expelled just that.
func (a *admission) turnAway(conn net.Conn, from link.NodeID, expulsion []byte) {
	a.c.counters.refused.Add(1)
	a.c.log.Debug("an expelled node was turned away at the admission port", "from", from)
	_ = writeMessage(conn, &reply{Code: refused, Expulsions: [][]byte{expulsion}})
	_ = conn.Close()
}

// errRefused is the one answer to all that strangers may not have.
var errRefused = errors.New("refused")

// refusal is the reply to a request that cannot be met. Only members are told why. remote is the stranger's address, or its carrier's.
func (a *admission) refusal(from, carrier link.NodeID, remote net.Addr, err error) *reply {
	if from == "" || errors.Is(err, errRefused) {
		a.c.counters.refused.Add(1)
		attributes := []any{"remote", remote.String(), "error", err}
		if from != "" {
			attributes = append(attributes, "member", from)
		}
		if carrier != "" {
			attributes = append(attributes, "carried_by", carrier)
		}
		a.c.log.Info("request refused at the admission port", attributes...)
		return &reply{Code: refused}
	}
	return &reply{Code: failed, Text: err.Error()}
}

// answer meets a request. from is empty for strangers.
func (a *admission) answer(ctx context.Context, from link.NodeID, req *request) (*reply, error) {
	switch {
	case req.Join != nil:
		return a.join(*req.Join)
	case from == "":
		return nil, errRefused
	case req.Meet != nil:
		return a.meet(from, *req.Meet)
	case req.Renew != nil:
		i, err := a.c.renewFor(ctx, *req.Renew)
		return &reply{Issued: &i}, err
	case req.Invite != nil:
		text, err := a.c.invite(Invitation{TTL: req.Invite.TTL, Uses: int(req.Invite.Uses)})
		return &reply{Invite: &inviteReply{text}}, err
	case req.Rotate != nil:
		serial, err := a.c.beginRotation()
		return &reply{Serial: serial}, err
	case req.Expel != nil:
		return &reply{}, a.expel(from, link.NodeID(req.Expel.Node))
	}
	return nil, errRefused
}

// join admits a node.
func (a *admission) join(req joinRequest) (*reply, error) {
	public, err := certified(req.CSR)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRefused, err)
	}
	m := a.c.member()
	if m.authority.key == nil {
		return nil, fmt.Errorf("%w: %w", errRefused, errNoAuthority)
	}
	id := idOf(public)
	if a.c.expulsions.has(id) {
		return nil, fmt.Errorf("%w: %s was %w", errRefused, id, ErrExpelled)
	}
	a.ledger.Lock()
	withKey, ok := a.ledger.redeem(req.Key, id, a.c.now())
	if ok {
		err = a.c.storage.writeJSON(invitationsFile, a.ledger.ledger) // before anybody profits from it
	}
	a.ledger.Unlock()
	if !ok {
		return nil, fmt.Errorf("%w: wrong, expired or used invitation", errRefused)
	}
	if err != nil {
		return nil, err
	}
	given, err := m.authority.issue(public, a.c.now())
	if err != nil {
		return nil, err
	}
	r := &joinReply{
		Issued: issued{given.cert.Raw, given.pass}, Authority: m.authority.cert.Raw, Ring: m.rawRing, Peers: a.c.records(id),
	}
	if withKey {
		if r.AuthorityKey, err = x509.MarshalPKCS8PrivateKey(m.authority.key); err != nil {
			return nil, fmt.Errorf("encode the authority's key: %w", err)
		}
	}
	a.c.counters.admitted.Add(1)
	a.c.log.Info("node admitted", "id", id, "authority", withKey)
	return &reply{Join: r}, nil
}

// certified returns the key that a certificate is asked for, if the asker has it.
func certified(csr []byte) (ed25519.PublicKey, error) {
	r, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	public, ok := r.PublicKey.(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("certificate request: not an Ed25519 key")
	}
	if err := r.CheckSignature(); err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	return public, nil
}

// meet answers a member that looks for the others.
func (a *admission) meet(from link.NodeID, req meetRequest) (*reply, error) {
	if from == a.c.id {
		a.c.twin(req.Instance, time.Unix(0, req.Started))
	}
	return &reply{Meet: &meetReply{
		ID: string(a.c.id), Instance: a.c.instance, Started: a.c.started.UnixNano(),
		Ring: a.c.member().rawRing, Sequence: a.c.table.sequence(from), Peers: a.c.records(from),
	}}, nil
}
