package storage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"

	"filippo.io/age"
	"golang.org/x/crypto/chacha20poly1305"
)

// Every dataset has a key of its own, which is kept in the database, wrapped by the server's. What is encrypted for it - the records, the
// states of runs on them - is lost when the wrapped key is deleted: a copy of a file that somebody made before, or that a disk still
// holds, cannot be opened any more.
//
// Under the server's key stay what belongs to nobody's dataset or must outlive it: models; the weights of runs, which were paid for and
// are their scientist's; the digests of records, without which an account could not find its records again.

// wrappingPurpose is the purpose of the key that wraps those of datasets.
const wrappingPurpose = "bastionlab dataset keys 1"

// NewDatasetKey makes the key of a dataset that is on its way in.
func (s *Store) NewDatasetKey(ctx context.Context, dataset string) error {
	_, wrapped, err := s.newKey(dataset)
	if err != nil {
		return err
	}
	return s.exec(ctx, "keep key of dataset", 1, "INSERT INTO dataset_keys (dataset_id, wrapped) VALUES (?, ?)", dataset, wrapped)
}

// DeleteDatasetKey destroys the key of a dataset that did not come to be, or is gone. One that is not there is no error.
func (s *Store) DeleteDatasetKey(ctx context.Context, dataset string) error {
	return s.exec(ctx, "destroy key of dataset", -1, "DELETE FROM dataset_keys WHERE dataset_id = ?", dataset)
}

// SweepDatasetKeys destroys the keys of datasets that are not there. No upload may be under way.
func (s *Store) SweepDatasetKeys(ctx context.Context) error {
	return s.exec(ctx, "destroy keys of datasets", -1, "DELETE FROM dataset_keys WHERE dataset_id NOT IN (SELECT id FROM datasets)")
}

// CreateDatasetBlob is CreateBlob, encrypted for the key of a dataset. A dataset that is gone takes none.
func (s *Store) CreateDatasetBlob(ctx context.Context, dataset, kind, id string) (*BlobWriter, error) {
	key, err := s.datasetKey(ctx, dataset)
	if errors.Is(err, ErrNoRow) {
		key, err = s.lateKey(ctx, dataset)
	}
	if errors.Is(err, ErrNoRow) {
		return nil, &BlobError{Kind: kind, Fault: BlobKeyGone}
	}
	if err != nil {
		return nil, err
	}
	return s.createBlob(kind, id, key.Recipient())
}

// OpenDatasetBlob is OpenBlob, for a blob that CreateDatasetBlob made.
func (s *Store) OpenDatasetBlob(ctx context.Context, dataset, kind, id string) (io.ReadCloser, error) {
	// Blobs of before there were keys of datasets are under the server's.
	keys := []age.Identity{s.identity}
	key, err := s.datasetKey(ctx, dataset)
	if errors.Is(err, ErrNoRow) {
		_, err = s.Dataset(ctx, dataset) // which never had one of its own, or is gone
	} else if err == nil {
		keys = append(keys, key)
	}
	if errors.Is(err, ErrNoRow) {
		return nil, &BlobError{Kind: kind, Fault: BlobKeyGone}
	}
	if err != nil {
		return nil, err
	}
	return s.openBlob(kind, id, keys...)
}

// DatasetMemfd is BlobMemfd, for a blob that CreateDatasetBlob made.
func (s *Store) DatasetMemfd(ctx context.Context, dataset, kind, id string, sha256 []byte) (*os.File, error) {
	blob, err := s.OpenDatasetBlob(ctx, dataset, kind, id)
	if err != nil {
		return nil, err
	}
	return memfdOf(ctx, kind, blob, sha256)
}

// datasetKey unwraps the key of a dataset; ErrNoRow where there is none. It is not kept in memory, so that one that was destroyed is gone.
func (s *Store) datasetKey(ctx context.Context, dataset string) (*age.X25519Identity, error) {
	scan := func(row scanner) (wrapped []byte, err error) { return wrapped, row.Scan(&wrapped) }
	wrapped, err := queryRow(ctx, s, "read key of dataset", scan, "SELECT wrapped FROM dataset_keys WHERE dataset_id = ?", dataset)
	if err != nil {
		return nil, err
	}
	seal, err := chacha20poly1305.NewX(s.wrappingKey())
	if err != nil {
		return nil, fmt.Errorf("unwrap key of dataset: %w", err)
	}
	if len(wrapped) < seal.NonceSize() {
		return nil, errors.New("unwrap key of dataset: it was changed or cut")
	}
	secret, err := seal.Open(nil, wrapped[:seal.NonceSize()], wrapped[seal.NonceSize():], []byte(dataset))
	if err != nil {
		return nil, errors.New("unwrap key of dataset: it was changed, cut, or wrapped by another server")
	}
	return age.ParseX25519Identity(string(secret))
}

// lateKey gives one to a dataset that is there and has none: it came before there were any.
func (s *Store) lateKey(ctx context.Context, dataset string) (*age.X25519Identity, error) {
	_, wrapped, err := s.newKey(dataset)
	if err != nil {
		return nil, err
	}
	// One that another call made meanwhile stays.
	err = s.exec(ctx, "keep key of dataset", -1, `INSERT INTO dataset_keys (dataset_id, wrapped) SELECT ?1, ?2
		WHERE EXISTS (SELECT 1 FROM datasets WHERE id = ?1) ON CONFLICT DO NOTHING`, dataset, wrapped)
	if err != nil {
		return nil, err
	}
	return s.datasetKey(ctx, dataset)
}

// newKey makes a key and wraps it.
//
// SECURITY: wrapping is authenticated, and bound to the dataset. Encrypting for the server's public key, as blobs are, would let whoever
// writes to the disk put a key that they know where a dataset's is, and read what is written from then on.
func (s *Store) newKey(dataset string) (key *age.X25519Identity, wrapped []byte, err error) {
	if key, err = age.GenerateX25519Identity(); err != nil {
		return nil, nil, fmt.Errorf("make key of dataset: %w", err)
	}
	seal, err := chacha20poly1305.NewX(s.wrappingKey())
	if err != nil {
		return nil, nil, fmt.Errorf("wrap key of dataset: %w", err)
	}
	wrapped = make([]byte, seal.NonceSize(), seal.NonceSize()+128)
	rand.Read(wrapped) // never fails
	return key, seal.Seal(wrapped, wrapped, []byte(key.String()), []byte(dataset)), nil
}

func (s *Store) wrappingKey() []byte {
	key := s.DeriveKey(wrappingPurpose)
	return key[:]
}

// emptyLog takes what was deleted out of SQLite's log too, where the page from before still is. It waits for readers a while; where one
// stays longer, the next checkpoint does it.
func (s *Store) emptyLog(ctx context.Context) {
	_, _ = s.db.ExecContext(context.WithoutCancel(ctx), "PRAGMA wal_checkpoint(TRUNCATE)")
}
