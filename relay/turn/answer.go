package turn

import (
	"encoding/binary"
	"time"
)

// finish patches in place what pion/turn answers to a client with an allocation, where its configuration has no say, and
// signs it anew:
//
//   - a LIFETIME above the configured cap is lowered to it, and the allocation ends then;
//   - ChannelBind to a denied peer is answered with 403 (Forbidden, RFC 8656 section 12.2), not with 401, which says that the
//     credentials are wrong.
func (r *relay) finish(answer []byte) {
	if !isMessage(answer) {
		return
	}
	switch messageType(answer) {
	case typeAllocateSuccess, typeRefreshSuccess:
		value, _ := find(answer, attrLifetime)
		if len(value) != 4 {
			return
		}
		longest := r.server.cfg.MaxLifetime
		granted := time.Duration(binary.BigEndian.Uint32(value)) * time.Second
		if granted <= longest {
			r.expireIn(0)
			return
		}
		r.expireIn(longest)
		binary.BigEndian.PutUint32(value, uint32(longest/time.Second))
		sign(answer, r.key)
	case typeChannelBindError:
		value, _ := find(answer, attrErrorCode)
		if _, signed := find(answer, attrIntegrity); signed == 0 || len(value) < 4 || value[2] != 4 || value[3] != 1 {
			return // unsigned: the credentials are wrong indeed
		}
		value[3] = 3
		sign(answer, r.key)
	}
}
