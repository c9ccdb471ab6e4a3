package storage

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"filippo.io/age"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// Level says where the server's key lives, and with it what a restart keeps.
type Level string

// The levels. docs/storage.md has what each protects against.
const (
	// File keeps the key in the data directory: a restart finds everything again, and so does who reads the disk.
	File Level = "file"
	// Memory draws the key at every start and never writes it: whatever an earlier start encrypted is lost, and removed.
	Memory Level = "memory"
)

// levelFact remembers the level that the directory was first opened with.
const levelFact = "storage-level"

// holdLevel decides the directory's level once. Directories of before there were levels have their key in a file.
func (s *Store) holdLevel(ctx context.Context) error {
	if s.level != File && s.level != Memory {
		return refusal.New(refusal.InvalidArgument, "give file or memory", "there is no storage level %q", s.level)
	}
	found, err := knownLevel(ctx, s)
	if err != nil {
		return err
	}
	if found == "" {
		return s.SetFact(ctx, levelFact, []byte(s.level))
	}
	if found != s.level {
		return refusal.New(refusal.InvalidArgument, fmt.Sprintf("start with --storage %s, or choose another data directory", found),
			"the data directory keeps its keys at the level %q, and was to be opened with %q: what one level wrote is not to be taken for the other's", found, s.level)
	}
	return nil
}

// knownLevel is the level of a directory that was opened before; empty where it never was.
func knownLevel(ctx context.Context, s *Store) (Level, error) {
	value, known, err := s.Fact(ctx, levelFact)
	if err != nil || known {
		return Level(value), err
	}
	_, hasRecipient, err := s.Fact(ctx, recipientFact)
	if err != nil {
		return "", err
	}
	_, missing := os.Lstat(filepath.Join(s.dir, keyFolder, blobKeyFile))
	if hasRecipient || missing == nil {
		return File, nil
	}
	return "", nil
}

// Level is where the key of what is stored lives.
func (s *Store) Level() Level { return s.level }

// openKey loads the server's key, or draws one for this start alone and removes what it cannot read.
func (s *Store) openKey(ctx context.Context) (err error) {
	if s.level == File {
		s.identity, err = s.loadBlobKey(ctx)
		return err
	}
	if s.identity, err = age.GenerateX25519Identity(); err != nil {
		return fmt.Errorf("make key of stored data: %w", err)
	}
	return s.forgetUnreadable(ctx)
}

// RunFailed is bastionlab.v1.RUN_STATUS_FAILED.
const RunFailed = 5

// keysGone is what an unfinished run of an earlier start ended of.
const keysGone = "the server was restarted and its keys are gone, and with them the dataset and the model"

// forgetUnreadable removes what only keys of earlier starts open: datasets, models, states, weights, and every blob. Users, facts and what is
// kept of past actions stay, and runs as history. It does the same again where a crash ended it.
func (s *Store) forgetUnreadable(ctx context.Context) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return outOfSpace(fmt.Errorf("forget what cannot be read: %w", err))
	}
	defer tx.Rollback() // does nothing after Commit
	for _, statement := range []string{
		"DELETE FROM dataset_keys",
		"DELETE FROM datasets",
		"DELETE FROM interruptions",
		"DELETE FROM models WHERE id NOT IN (SELECT model_id FROM runs)",
		// What a run names stays as a name: nobody's, and nothing in it.
		`UPDATE models SET owner = '', name = '', description = '', loss = '', program = x'', report = x'', blob_sha256 = x'', blob_bytes = 0`,
		`UPDATE runs SET weights_sha256 = x'', weights_bytes = 0, train = x'', state_id = '', state_sha256 = x'', state_bytes = 0, state_steps = 0`,
	} {
		if err := execOn(ctx, tx, "forget what cannot be read", -1, statement); err != nil {
			return err
		}
	}
	err = execOn(ctx, tx, "end runs whose keys are gone", -1,
		"UPDATE runs SET status = ?, failure = ?, ended_unix_ms = max(created_unix_ms, ?) WHERE ended_unix_ms = 0", RunFailed, keysGone, s.now().UnixMilli())
	if err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return outOfSpace(fmt.Errorf("forget what cannot be read: %w", err))
	}
	s.emptyLog(ctx)
	return s.removeAllBlobs()
}

func (s *Store) removeAllBlobs() error {
	return filepath.WalkDir(filepath.Join(s.dir, blobFolder), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			err = s.files.remove(path)
		}
		if err != nil {
			return fmt.Errorf("remove what cannot be read: %w", err)
		}
		return nil
	})
}
