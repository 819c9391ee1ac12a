package stream

// pictures keeps VP8's PictureID and TL0PICIDX (RFC 7741) going when another encoder takes over. Pictures that are not
// relayed leave holes in them, as the format allows.
type pictures struct {
	offset    uint16 // outgoing PictureID = incoming + offset
	tl0Offset uint8
	newest    uint16 // outgoing, of the newest picture
	newestTL0 uint8
	started   bool
	fresh     bool // the next packet begins a source
}

// restart tells that another source follows.
func (n *pictures) restart() { n.fresh = true }

// next returns the numbers of the newest packet.
func (n *pictures) next(p *Packet) (picture uint16, tl0 uint8) {
	i := &p.Info
	if n.fresh && n.started {
		n.offset = n.newest + 1 - i.PictureID
		n.tl0Offset = n.newestTL0 + 1 - i.TL0
	}
	picture, tl0 = n.at(p)
	if n.fresh || !n.started {
		n.newest, n.newestTL0 = picture, tl0
	}
	n.fresh, n.started = false, true
	n.sent(p, picture, tl0)
	return picture, tl0
}

// sent takes note of a packet that was given these numbers.
func (n *pictures) sent(p *Packet, picture uint16, tl0 uint8) {
	bits := p.Info.PictureBits
	if bits > 0 && (picture-n.newest)<<(16-bits) < 1<<15 {
		n.newest = picture
	}
	if p.Info.HasTL0 && int8(tl0-n.newestTL0) > 0 { //nolint:gosec // modular
		n.newestTL0 = tl0
	}
}

// at returns the numbers of a packet of the present source. Those of a field the packet does not have mean nothing.
func (n *pictures) at(p *Packet) (picture uint16, tl0 uint8) {
	return (p.Info.PictureID + n.offset) & (1<<p.Info.PictureBits - 1), p.Info.TL0 + n.tl0Offset
}
