package verification

import (
	"encoding/binary"
	"encoding/hex"
	"math/big"

	"github.com/bastionlab/bastionlab/server/internal/attestation"
)

// report is an SEV-SNP attestation report ("SEV Secure Nested Paging Firmware ABI Specification", table 23 and following), read where it lies.
// SECURITY: the bytes that are signed are these, never what is written from fields again.
type report [attestation.ReportBytes]byte

const signatureInt = 72 // R and S, little endian

func (r *report) u32(offset int) uint32 { return binary.LittleEndian.Uint32(r[offset:]) }
func (r *report) u64(offset int) uint64 { return binary.LittleEndian.Uint64(r[offset:]) }

func (r *report) version() uint32      { return r.u32(0x00) }
func (r *report) guestSVN() uint32     { return r.u32(0x04) }
func (r *report) policy() uint64       { return r.u64(0x08) }
func (r *report) vmpl() uint32         { return r.u32(0x30) }
func (r *report) algorithm() uint32    { return r.u32(0x34) }
func (r *report) platform() uint64     { return r.u64(0x40) }
func (r *report) signer() uint32       { return r.u32(0x48) }
func (r *report) reportData() []byte   { return r[0x50:0x90] }
func (r *report) measurement() string  { return hex.EncodeToString(r[0x90:0xC0]) }
func (r *report) hostData() string     { return hex.EncodeToString(r[0xC0:0xE0]) }
func (r *report) idKey() string        { return hex.EncodeToString(r[0xE0:0x110]) }
func (r *report) authorKey() string    { return hex.EncodeToString(r[0x110:0x140]) }
func (r *report) reportedTCB() []byte  { return r[0x180:0x188] }
func (r *report) family() byte         { return r[0x188] }
func (r *report) model() byte          { return r[0x189] }
func (r *report) chipID() []byte       { return r[0x1A0:0x1E0] }
func (r *report) committedTCB() []byte { return r[0x1E0:0x1E8] }
func (r *report) launchTCB() []byte    { return r[0x1F0:0x1F8] }
func (r *report) signed() []byte       { return r[:attestation.SignedBytes] }

func (r *report) has(bit string) bool { return r.policy()>>policyBits[bit]&1 == 1 }

// reserved is what has no meaning and must be zero: after the author key flags, in the signer's word, after the signature.
func (r *report) reserved() bool {
	for _, b := range r[attestation.SignedBytes+2*signatureInt:] {
		if b != 0 {
			return true
		}
	}
	return r.u32(0x4C) != 0 || r.signer()>>5 != 0
}

// signingKey is the kind of key that signed, which the report names.
func (r *report) signingKey() string {
	switch r.signer() >> 2 & 7 {
	case 0:
		return "VCEK"
	case 1:
		return "VLEK"
	}
	return "none"
}

func (r *report) signature() (x, y *big.Int) {
	return littleEndian(r[attestation.SignedBytes:][:signatureInt]), littleEndian(r[attestation.SignedBytes+signatureInt:][:signatureInt])
}

func littleEndian(encoded []byte) *big.Int {
	turned := make([]byte, len(encoded))
	for i, b := range encoded {
		turned[len(encoded)-1-i] = b
	}
	return new(big.Int).SetBytes(turned)
}
