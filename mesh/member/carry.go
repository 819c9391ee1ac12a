package member

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// maxCarried bounds what is carried in one direction, bytes. An admission takes a tenth of it.
const maxCarried = 128 << 10

// carry takes a stranger, who has shown the signed part of an invitation, to its issuer, and then carries bytes between both.
func (a *admission) carry(ctx context.Context, stranger net.Conn, req carryRequest) {
	to, err := a.carrier(ctx, req)
	if err != nil {
		r := a.refusal("", "", stranger.RemoteAddr(), err)
		if !errors.Is(err, errRefused) { // the invitation is genuine: it may be worth another try
			r = &reply{Code: failed, Text: "the node that made the invitation cannot be reached"}
		}
		_ = writeMessage(stranger, r)
		return
	}
	defer closing(ctx, to)()
	if writeMessage(stranger, &reply{}) != nil {
		return
	}
	a.c.counters.carried.Add(1)
	var wg sync.WaitGroup
	move := func(dst, src net.Conn) {
		_, _ = io.Copy(dst, io.LimitReader(src, maxCarried)) // either end may just go away
		_ = dst.Close()
	}
	wg.Go(func() { move(to, stranger) })
	move(stranger, to)
	wg.Wait()
}

// carrier opens a session with the issuer of an invitation and says that a stranger's session follows.
func (a *admission) carrier(ctx context.Context, req carryRequest) (net.Conn, error) {
	hash, ok := hashOf(req.Hash)
	if !ok || !genuine(a.c.member().authority, req.Claims, hash, req.Signature) {
		return nil, fmt.Errorf("%w: the invitation is not this cluster's", errRefused)
	}
	inv, rest, err := parseClaims(req.Claims)
	if err != nil || len(rest) > 0 || !a.c.now().Before(inv.Expires) {
		return nil, fmt.Errorf("%w: the invitation has expired", errRefused)
	}
	n, ok := a.c.table.node(inv.Issuer)
	if !ok {
		return nil, fmt.Errorf("the issuer of the invitation, %s, is not there", inv.Issuer)
	}
	conn, err := a.c.dial(ctx, n.Links, n.ID)
	if err != nil {
		return nil, err
	}
	var r reply
	if err = writeMessage(conn, &request{Carried: &carriedRequest{}}); err == nil {
		err = readMessage(conn, maxReply, &r)
	}
	if err == nil {
		err = r.err()
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("reach %s: %w", n.ID, err)
	}
	return conn, nil
}
