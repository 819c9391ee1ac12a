package srtp

import (
	"bytes"
	"crypto/aes"
	"errors"
	"testing"
)

// RFC 3711 appendix B.2: keystream of AES in counter mode.
func TestKeystreamRFC3711(t *testing.T) {
	block, err := aes.NewCipher(unhex(t, "2B7E151628AED2A6ABF7158809CF4F3C"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := newCounterMode(block, unhex(t, "F0F1F2F3F4F5F6F7F8F9FAFBFCFD"), make([]byte, cmAuthLen), 10)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 0xff02*aes.BlockSize)
	c.xor(scratches.Get().(*scratch), got, got, 0, 0)
	for block, want := range map[int]string{
		0x0000: "E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB 41E95B3BB0A2E8DD477901E4FCA894C0",
		0xfeff: "EC8CDF7398607CB0F2D21675EA9EA1E4 362B7C3C6773516318A077D7FC5073AE 6A2CC3787889374FBEB4C81B17BA6C44",
	} {
		want := unhex(t, want)
		if got := got[block*aes.BlockSize:][:len(want)]; !bytes.Equal(got, want) {
			t.Errorf("keystream from block %#x: %x, want %x", block, got, want)
		}
	}
}

func TestKeyDerivation(t *testing.T) {
	tests := []struct {
		name, key, salt string
		want            [3]string // for labels 0, 1, 2
	}{
		{
			"RFC 3711 appendix B.3",
			"E1F97A0D3E018BE0D64FA32C06DE4139", "0EC675AD498AFEEBB6960B3AABE6",
			[3]string{
				"C61E7A93744F39EE10734AFE3FF7A087",
				"CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4",
				"30CBBC08863D8C85D49DB34A9AE1",
			},
		},
		{
			"RFC 6188 section 7",
			"f0f04914b513f2763a1b1fa130f10e29 98f6f6e43e4309d1e622a0e332b9f1b6", "3b04803de51ee7c96423ab5b78d2",
			[3]string{
				"5ba1064e30ec51613cad926c5a28ef73 1ec7fb397f70a960653caf06554cd8c4",
				"fd9c32d39ed5fbb5a9dc96b30818454d1313dc05",
				"fa31791685ca444a9e07c6c64e93",
			},
		},
	}
	for _, tt := range tests {
		master, err := aes.NewCipher(unhex(t, tt.key))
		if err != nil {
			t.Fatal(err)
		}
		for label, want := range tt.want {
			want := unhex(t, want)
			if got := deriveKey(master, unhex(t, tt.salt), byte(label), len(want)); !bytes.Equal(got, want) {
				t.Errorf("%s, label %d: %x, want %x", tt.name, label, got, want)
			}
		}
	}
}

// RFC 7714 sections 16 and 17: session keys, a packet of each kind, and both as protected.
func TestGCMRFC7714(t *testing.T) {
	const (
		key  = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
		salt = "517569642070726f2071756f"
		rtp  = `8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 61727465 73207472
			6573`
		rtcp = `81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef deadbeef deadbeef
			deadbeef`
		rtcpIndex = 0x5d4
	)
	tests := []struct {
		profile  Profile
		rtp      string
		rtcp     string
		unhidden string // rtcp, authenticated only
	}{
		{
			AEADAES128GCM,
			`8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b 36de3adf
			 8833899d 7f27beb1 6a9152cf 765ee439 0cce`,
			`81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda 4ce09b46 86303ded
			 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4`,
			"841dd968 3dd78ec9 2ae58790 125f62b3 000005d4",
		},
		{
			AEADAES256GCM,
			`8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02 76ffae0f 1ba63799
			 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13`,
			`81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1 110555be 8415f658 c61de047
			 6f1b6fad 1d1eb30c 4446839f 57ff6f6c b26ac3be 800005d4`,
			"91db4afb feee5a97 8fab4393 ed2615fe 000005d4",
		},
	}
	for _, tt := range tests {
		t.Run(tt.profile.String(), func(t *testing.T) {
			transform, err := newTransform(tt.profile, unhex(t, key)[:tt.profile.KeyLen()], unhex(t, salt), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			k := &Keys{profile: tt.profile, rtp: transform, rtcp: transform}
			k.rtcpIndex.Store(rtcpIndex)

			if got := k.NewSender(0x5501a0b2).Protect(unhex(t, rtp), 12, 0xf17b); !bytes.Equal(got, unhex(t, tt.rtp)) {
				t.Errorf("RTP %x", got)
			}
			sealed := unhex(t, tt.rtp)
			n, index, err := k.NewReceiver(0x5501a0b2).Open(sealed[12:], sealed, 12)
			if err != nil || index != 0xf17b || !bytes.Equal(sealed[:12+n], unhex(t, rtp)) {
				t.Errorf("opened RTP %x, %v", sealed[:12+n], err)
			}

			if got := k.ProtectRTCP(nil, unhex(t, rtcp)); !bytes.Equal(got, unhex(t, tt.rtcp)) {
				t.Errorf("RTCP %x", got)
			}
			opened, err := k.OpenRTCP(nil, unhex(t, tt.rtcp))
			if err != nil || !bytes.Equal(opened, unhex(t, rtcp)) {
				t.Errorf("opened RTCP %x, %v", opened, err)
			}
			if _, err := k.OpenRTCP(nil, unhex(t, rtcp+tt.unhidden)); !errors.Is(err, ErrAuth) {
				t.Errorf("RTCP that is not encrypted: %v", err)
			}
		})
	}
}
