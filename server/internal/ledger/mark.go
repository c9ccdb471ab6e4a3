package ledger

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// sealedMark keeps positions with a code that only the ledger's key makes.
//
// SECURITY: signatures bind the movements of one account to each other; what binds those of all accounts is the chain over the file, which
// anybody can make anew. Whoever can write to the disk and has no key could take the newest movements of one account out of a file and leave all
// others, if the position after them could be made anew too.
type sealedMark struct {
	Acknowledger
	key ed25519.PrivateKey
}

func (m sealedMark) Acknowledged() (records, bytes int64, chain []byte, err error) {
	records, bytes, stored, err := m.Acknowledger.Acknowledged()
	if err != nil || records == 0 && len(stored) == 0 {
		return records, bytes, stored, err
	}
	chain, genuine := Unseal(m.key, records, bytes, stored)
	if !genuine {
		return 0, 0, nil, &IntegrityError{Record: records, Reason: "the acknowledged position in the database was not written by this ledger"}
	}
	return records, bytes, chain, nil
}

func (m sealedMark) Acknowledge(records, bytes int64, chain []byte) error {
	return m.Acknowledger.Acknowledge(records, bytes, Seal(m.key, records, bytes, chain))
}

// Seal is a position as it is stored: the chain's value, and a code over all of it.
func Seal(key ed25519.PrivateKey, records, bytes int64, chain []byte) []byte {
	return slices.Concat(chain, seal(key, records, bytes, chain))
}

// Unseal takes a stored position apart, and says whether the ledger's key made it. What comes of one that it did not make is for a report only.
func Unseal(key ed25519.PrivateKey, records, bytes int64, stored []byte) (chain []byte, genuine bool) {
	chain, code := stored[:min(len(stored), sha256.Size)], stored[min(len(stored), sha256.Size):]
	return chain, hmac.Equal(code, seal(key, records, bytes, chain))
}

func seal(key ed25519.PrivateKey, records, bytes int64, chain []byte) []byte {
	code := hmac.New(sha256.New, key.Seed())
	code.Write([]byte("bastionlab ledger mark 1\n"))
	code.Write(binary.BigEndian.AppendUint64(nil, uint64(records)))
	code.Write(binary.BigEndian.AppendUint64(nil, uint64(bytes)))
	code.Write(chain)
	return code.Sum(nil)
}
