package rtc

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"github.com/pion/stun/v4"

	"cardea/relay/ice"
)

const (
	// checkInterval is the time between rounds of checks until one succeeds, and consentInterval after that: a browser's.
	checkInterval   = 50 * time.Millisecond
	consentInterval = 2500 * time.Millisecond
	// maxRemotes bounds the candidates taken from the server, and from whoever checks us.
	maxRemotes = 32
	// hostPriority is that of the only candidate: host, component 1 (RFC 8445 section 5.1.2).
	hostPriority = 126<<24 | 65535<<8 | 255
)

// agent is one end of ICE with a single host candidate. It nominates aggressively when controlling. Pure but for random
// numbers: now is passed in, datagrams to send go to the send function. Not safe for concurrent use.
type agent struct {
	ufrag, pwd  string
	localKey    *ice.Key
	remoteUfrag string
	remotePwd   string
	remoteKey   *ice.Key
	controlling bool
	tieBreaker  uint64
	remotes     []remote
	selected    netip.AddrPort
	next        int64 // when checks are due
	send        func(b []byte, to netip.AddrPort)
	reply       []byte
}

// remote is an address of the server's.
type remote struct {
	address     netip.AddrPort
	transaction [stun.TransactionIDSize]byte // of all checks: repeated, they are retransmissions, and any answer will do
	valid       bool                         // a check succeeded
	nominated   bool                         // by the other side
}

func newAgent(send func(b []byte, to netip.AddrPort)) *agent {
	var tie [8]byte
	_, _ = rand.Read(tie[:]) // never fails
	a := &agent{ufrag: rand.Text()[:8], pwd: rand.Text(), tieBreaker: binary.BigEndian.Uint64(tie[:]), send: send}
	a.localKey = ice.NewKey(a.pwd)
	return a
}

// start begins checking with the other side's credentials.
func (a *agent) start(ufrag, pwd string, controlling bool, now int64) {
	a.remoteUfrag, a.remotePwd, a.remoteKey, a.controlling, a.next = ufrag, pwd, ice.NewKey(pwd), controlling, now
}

// addRemote takes a candidate of the other side.
func (a *agent) addRemote(addr netip.AddrPort, now int64) {
	if len(a.remotes) >= maxRemotes || a.find(addr) != nil {
		return
	}
	a.remotes = append(a.remotes, remote{address: addr, transaction: stun.NewTransactionID()})
	a.next = min(a.next, now)
}

func (a *agent) find(addr netip.AddrPort) *remote {
	i := slices.IndexFunc(a.remotes, func(r remote) bool { return r.address == addr })
	if i < 0 {
		return nil
	}
	return &a.remotes[i]
}

// tick sends the checks that are due.
func (a *agent) tick(now int64) {
	if a.remoteKey == nil || now < a.next {
		return
	}
	if a.selected.IsValid() {
		a.next = now + int64(consentInterval)
		a.check(a.find(a.selected))
		return
	}
	a.next = now + int64(checkInterval)
	for i := range a.remotes {
		a.check(&a.remotes[i])
	}
}

// check sends a connectivity check (RFC 8445 section 7.2.2).
func (a *agent) check(r *remote) {
	role := stun.AttrICEControlled
	if a.controlling {
		role = stun.AttrICEControlling
	}
	setters := []stun.Setter{
		stun.BindingRequest, stun.NewTransactionIDSetter(r.transaction), stun.NewUsername(a.remoteUfrag + ":" + a.ufrag),
		stun.RawAttribute{Type: stun.AttrPriority, Value: binary.BigEndian.AppendUint32(nil, hostPriority)},
		stun.RawAttribute{Type: role, Value: binary.BigEndian.AppendUint64(nil, a.tieBreaker)},
	}
	if a.controlling {
		setters = append(setters, stun.RawAttribute{Type: stun.AttrUseCandidate})
	}
	m, err := stun.Build(append(setters, stun.NewShortTermIntegrity(a.remotePwd), stun.Fingerprint)...)
	if err != nil {
		return // a ufrag that is too long: no check will succeed
	}
	a.send(m.Raw, r.address)
}

// handle takes a STUN message and tells whether the path is selected with it.
func (a *agent) handle(b []byte, from netip.AddrPort, now int64) (selected bool) {
	var m ice.Message
	if ice.Parse(b, &m) != nil || m.Method != ice.MethodBinding {
		return false
	}
	switch m.Class {
	case ice.Request:
		return a.answer(&m, from, now)
	case ice.Success:
		r := a.find(from)
		if r == nil || r.transaction != m.TransactionID || !m.Authentic(a.remoteKey) {
			return false
		}
		r.valid = true
		return a.choose(r)
	case ice.Failure:
		if r := a.find(from); r != nil && r.transaction == m.TransactionID && m.ErrorCode == ice.CodeRoleConflict && m.Authentic(a.remoteKey) {
			a.controlling = !a.controlling
			r.transaction = stun.NewTransactionID() // another request now
			a.next = now
		}
	case ice.Indication:
	}
	return false
}

// answer answers a check, and checks back at once when that is still to be done (RFC 8445 section 7.3.1.4).
func (a *agent) answer(m *ice.Message, from netip.AddrPort, now int64) (selected bool) {
	if local, _ := ice.Username(m); string(local) != a.ufrag || !m.Authentic(a.localKey) {
		return false
	}
	a.reply = ice.AppendSuccess(a.reply[:0], m, from, a.localKey)
	a.send(a.reply, from)
	a.addRemote(from, now) // peer-reflexive, if new
	r := a.find(from)
	if r == nil {
		return false
	}
	r.nominated = r.nominated || m.UseCandidate
	if !r.valid && a.remoteKey != nil {
		a.check(r)
	}
	return a.choose(r)
}

// choose selects the pair of a valid remote once its nomination is agreed.
func (a *agent) choose(r *remote) bool {
	if a.selected.IsValid() || !r.valid || !a.controlling && !r.nominated {
		return false
	}
	a.selected = r.address
	a.next += int64(consentInterval)
	return true
}
