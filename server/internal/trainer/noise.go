package trainer

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"io"
)

const keyBytes = 32

// keystream is AES-256 in counter mode: as unpredictable as its key, and fast enough for a number per parameter and step.
type keystream struct{ stream cipher.Stream }

// newKeystream draws its key from source.
// PRIVACY: one key per attempt, never stored, never reused: two releases with the same noise would show their difference bare.
func newKeystream(source io.Reader) (*keystream, error) {
	block, err := newCipher(source)
	if err != nil {
		return nil, fmt.Errorf("noise: %w", err)
	}
	// A counter from zero is sound because the key is used for this stream only.
	return &keystream{cipher.NewCTR(block, make([]byte, aes.BlockSize))}, nil
}

// newCipher is AES-256 under a key from source that nobody keeps.
func newCipher(source io.Reader) (cipher.Block, error) {
	var key [keyBytes]byte
	defer clear(key[:])
	if _, err := io.ReadFull(source, key[:]); err != nil {
		return nil, fmt.Errorf("draw a key: %w", err)
	}
	return aes.NewCipher(key[:])
}

// Read fills p and never fails: a noise source that could run dry would be a way out without noise.
func (k *keystream) Read(p []byte) (int, error) {
	clear(p)
	k.stream.XORKeyStream(p, p)
	return len(p), nil
}
