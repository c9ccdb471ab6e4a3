package main

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// digest is the SHA-384 of the settings that a data owner's trust depends on, as a text of lines `name = value`, sorted by name: what
// they may pin as config_digests. Paths, addresses and sizes are not among them. Metrics and traces leave by other doors than the attested
// channel: that they do is told where they do. docs/attestation.md has the form.
func (s *settings) digest(level storage.Level) ([sha512.Size384]byte, error) {
	trainer, err := fileSHA256(s.trainer)
	if err != nil {
		return [sha512.Size384]byte{}, refusal.New(refusal.Unavailable, "build it with `make`, or name it with --trainer", "the trainer cannot be read: %s", err)
	}
	lines := []string{
		fmt.Sprintf("development = %t", s.development), "log-level = " + s.logLevel, "storage = " + string(level), "trainer-sha256 = " + trainer,
	}
	if program := s.cudaTrainer(); program != "" {
		digest, err := fileSHA256(program)
		if err != nil {
			return [sha512.Size384]byte{}, refusal.New(refusal.Unavailable, buildCUDA, "the trainer for the GPU cannot be read: %s", err)
		}
		lines = append(lines, "cuda-trainer-sha256 = "+digest)
	}
	if s.metricsListen != "" {
		lines = append(lines, fmt.Sprintf("metrics-datasets = %t", s.metricsDatasets), "metrics-listen = true")
	}
	if s.traceEndpoint != "" {
		lines = append(lines, "trace-endpoint = true")
	}
	slices.Sort(lines)
	return sha512.Sum384([]byte("bastionlab configuration 1\n" + strings.Join(lines, "\n") + "\n")), nil
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
