package storage

import (
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
)

// DeriveKey makes a key for one purpose out of the secret of the blobs' key, by HKDF-SHA256: the same in every server that opens this
// directory, lost where the blobs are lost, and of no help in finding the secret or a key of another purpose. A purpose is a fixed text
// with the number of what it is the key of, such as "bastionlab record digests 1".
//
// SECURITY: purposes must not be made of what a user chose, or one purpose could be chosen to be another.
func (s *Store) DeriveKey(purpose string) [32]byte {
	key, err := hkdf.Key(sha256.New, []byte(s.identity.String()), nil, purpose, 32)
	if err != nil {
		// Only a length that there is not, or a mode in which no such secret is allowed: a key of zeros would be no secret.
		panic(fmt.Errorf("derive key: %w", err))
	}
	return [32]byte(key)
}
