// Package backup puts a data directory into one file, and back into a directory that a server starts on.
//
// There are two kinds. A snapshot is taken while the server may go on: what is charged after it is not in it, so whoever restores it gets users,
// models, weights, runs and audit log back, and no budget: every account is frozen, in the ledger and for its owner to see. A handover is taken of a server that is
// stopped, and its directory never starts again: nothing can have been charged since, and everything goes on where it was restored.
//
// Invariants: database and ledger in a backup name the same position; a backup is under its name whole or not at all; no server starts on what is unpacked
// by hand, or was not restored to the end; a restore that ends without an error has been through a check of its ledger.
//
// Non-goals: it knows no one who copies directories by other means, or restores one handover twice: that is the rollback which receipts
// prove (docs/receipts.md). A backup is as secret as the directory: at the storage level "file" it holds the keys.
package backup

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"path/filepath"

	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// Kind says what a restore makes of the budgets.
type Kind string

// The kinds.
const (
	Snapshot Kind = "snapshot"
	Handover Kind = "handover"
)

// Manifest is the last member of a backup: a backup without it was cut.
type Manifest struct {
	Form    int           `json:"bastionlab_backup"`
	Kind    Kind          `json:"kind"`
	Level   storage.Level `json:"level"`
	Release string        `json:"release"`
	UnixMS  int64         `json:"at"`
	Records int64         `json:"ledger_records"`
	Files   []File        `json:"files"`
	// Gone are encrypted files that a running server removed while they were copied.
	Gone []string `json:"gone,omitempty"`
	// Seal is made with the key of the directory, where that is in the backup.
	Seal []byte `json:"seal,omitempty"`
}

// File is one member.
type File struct {
	Path   string `json:"path"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

const (
	form         = 1
	manifestName = "manifest.json"
	// maxManifestBytes bounds what is read into memory: some 100,000 files.
	maxManifestBytes = 32 << 20
	privateMode      = 0o600
	privateDirMode   = 0o700
)

func (m Manifest) check() error {
	if m.Form != form {
		return refusal.New(refusal.VersionMismatch, "restore it with the release that made it, or a later one", "the backup has form %d, this release knows form %d", m.Form, form)
	}
	if m.Kind != Snapshot && m.Kind != Handover {
		return damaged("there is no backup of the kind %q", m.Kind)
	}
	return nil
}

func (m Manifest) encode() ([]byte, error) { return json.MarshalIndent(m, "", " ") }

const sealPurpose = "bastionlab backup manifest 1"

// sealed is the manifest's seal.
// PRIVACY: a snapshot is not made a handover by who changes a word, nor a file exchanged by who has not the key.
func (m Manifest) sealed(derive func(purpose string) [32]byte) ([]byte, error) {
	m.Seal = nil
	encoded, err := m.encode()
	if err != nil {
		return nil, err
	}
	key := derive(sealPurpose)
	code := hmac.New(sha256.New, key[:])
	code.Write(encoded)
	return code.Sum(nil), nil
}

// holds says whether a manifest is what the directory's own server program made.
func (m Manifest) holds(derive func(purpose string) [32]byte) error {
	want, err := m.sealed(derive)
	if err != nil {
		return err
	}
	if !hmac.Equal(want, m.Seal) {
		return damaged("its manifest was changed after it was taken")
	}
	return nil
}

func damaged(what string, args ...any) error {
	return refusal.New(refusal.Attestation, "take another backup: of this one nothing is used", "the backup is damaged: %s", fmt.Sprintf(what, args...))
}

// position is how far the ledger goes in the database of a backup.
type position struct {
	records, bytes int64
	chain          string // in hex, as the ledger's file has it
}

func positionOf(p storage.Peeked) position {
	return position{p.Records, p.Bytes, hex.EncodeToString(p.Chain[:min(len(p.Chain), sha256.Size)])}
}

// tail holds the last line of what was written through it, and counts lines.
type tail struct {
	digest hash.Hash
	lines  int64
	last   []byte
	ended  bool
}

func (t *tail) Write(p []byte) (int, error) {
	t.digest.Write(p)
	for _, b := range p {
		if t.ended {
			t.last, t.ended = t.last[:0], false
		}
		if b == '\n' {
			t.lines, t.ended = t.lines+1, true
		} else if len(t.last) < 2*sha256.Size {
			t.last = append(t.last, b)
		}
	}
	return len(p), nil
}

var errMoved = errors.New("file and database do not name the same position")

// fits says whether what was copied of the ledger ends where the database says. The chain's value in the last line stands for all lines before it; a start
// and a restore check each of them.
func (t *tail) fits(at position) error {
	if at.records != t.lines || at.records > 0 && (!t.ended || string(t.last) != at.chain) {
		return refusal.New(refusal.Unavailable, "take the backup again; where that does not help, run `bastionlab ledger fsck`",
			"the ledger was exchanged while it was copied, or is damaged: %s", errMoved)
	}
	return nil
}

// cut is how many bytes of a file belong to a backup, where not all do.
func (at position) cut(path string) (bytes int64, cut bool) { return at.bytes, path == ledger.FileName }

func slashed(path string) string { return filepath.ToSlash(path) }
