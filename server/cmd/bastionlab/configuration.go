package main

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io"
	"os"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// digest is the SHA-384 of the settings that a data owner's trust depends on, as a text of lines `name = value`, sorted by name: what
// they may pin as config_digests. Paths, addresses and sizes are not among them. docs/attestation.md has the form.
func (s *settings) digest(level storage.Level) ([sha512.Size384]byte, error) {
	trainer, err := fileSHA256(s.trainer)
	if err != nil {
		return [sha512.Size384]byte{}, refusal.New(refusal.Unavailable, "build it with `make`, or name it with --trainer", "the trainer cannot be read: %s", err)
	}
	text := fmt.Sprintf("bastionlab configuration 1\ndevelopment = %t\nlog-level = %s\nstorage = %s\ntrainer-sha256 = %s\n", s.development, s.logLevel, level, trainer)
	return sha512.Sum384([]byte(text)), nil
}

func fileSHA256(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	digest := sha256.New()
	if _, err := io.Copy(digest, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(digest.Sum(nil)), nil
}
