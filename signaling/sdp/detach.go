package sdp

import "strings"

// detach gives the description strings of its own. As parsed they are cut from copies of the text in pieces of 4 KiB, each of
// which would be kept as long as any string of it is: thousands of events would keep one each for a mid of a few bytes.
func (d *Description) detach() {
	own := func(all ...*string) {
		for _, s := range all {
			*s = strings.Clone(*s)
		}
	}
	own(&d.Username, &d.Name)
	for i := range d.Bundle {
		own(&d.Bundle[i])
	}
	t := &d.Transport
	own(&t.Ufrag, &t.Pwd)
	for i := range t.Fingerprints {
		own(&t.Fingerprints[i].Algorithm, &t.Fingerprints[i].Value)
	}
	for i := range t.Candidates {
		c := &t.Candidates[i]
		own(&c.Foundation, &c.Protocol, &c.Address, &c.Type, &c.TCPType)
	}
	for i := range d.Medias {
		m := &d.Medias[i]
		own(&m.Type, &m.Mid, &m.Proto, &m.Msid)
		for j := range m.Codecs {
			own(&m.Codecs[j].Name, &m.Codecs[j].Fmtp)
		}
		for j := range m.Extensions {
			own(&m.Extensions[j].URI)
		}
		for j := range m.Encodings {
			own(&m.Encodings[j].RID)
		}
	}
}
