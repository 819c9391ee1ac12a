//go:build !linux

package rtc

import (
	"errors"
	"fmt"
	"net/netip"
)

// Elsewhere there is no load: what makes the transport cheap, recvmmsg, epoll and timestamps of arrival, is Linux's.
var errLinux = fmt.Errorf("load generation needs Linux: %w", errors.ErrUnsupported)

type address struct{ port netip.AddrPort }

func newAddress(a netip.AddrPort) *address { return &address{port: a} }

type socket struct{ local netip.AddrPort }

func openSocket(netip.Addr) (*socket, error)     { return nil, errLinux }
func (s *socket) send(_ []byte, _ *address) bool { return false }
func (s *socket) close() error                   { return errLinux }

type poller struct{}

func newPoller() (*poller, error)                                   { return nil, errLinux }
func (p *poller) add(*socket, int32) error                          { return errLinux }
func (p *poller) ready(func(int32)) error                           { return errLinux }
func (p *poller) read(*socket, func([]byte, netip.AddrPort, int64)) {}
func (p *poller) close() error                                      { return errLinux }
