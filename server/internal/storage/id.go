package storage

import (
	"crypto/rand"
	"encoding/hex"
)

// NewID makes an identifier for a dataset, a model or a run: 128 random bits in hex, which nobody can guess or count.
func NewID() string {
	var random [16]byte
	rand.Read(random[:]) // never fails
	return hex.EncodeToString(random[:])
}
