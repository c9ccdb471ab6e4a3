package storage

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func writeDatasetBlob(t *testing.T, s *Store, dataset, kind, id string, content []byte) {
	t.Helper()
	b, err := s.CreateDatasetBlob(t.Context(), dataset, kind, id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write(content); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Commit(); err != nil {
		t.Fatal(err)
	}
}

func readDatasetBlob(t *testing.T, s *Store, dataset, kind, id string) ([]byte, error) {
	t.Helper()
	b, err := s.OpenDatasetBlob(t.Context(), dataset, kind, id)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	return io.ReadAll(b)
}

// newDataset is one with a key and a blob.
func newDataset(t *testing.T, s *Store, id, testOf string) {
	t.Helper()
	if err := s.NewDatasetKey(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	writeDatasetBlob(t, s, id, "dataset", id, []byte("records of "+id))
	if err := s.InsertDataset(t.Context(), DatasetRow{ID: id, Owner: "o", TestOf: testOf}); err != nil {
		t.Fatal(err)
	}
}

func wantBlobFault(t *testing.T, err error, fault BlobFault) {
	t.Helper()
	var found *BlobError
	if !errors.As(err, &found) || found.Fault != fault {
		t.Errorf("got %v, want the fault %q", err, fault)
	}
}

func wrappedKey(t *testing.T, s *Store, dataset string) (wrapped []byte) {
	t.Helper()
	if err := s.db.QueryRow("SELECT wrapped FROM dataset_keys WHERE dataset_id = ?", dataset).Scan(&wrapped); err != nil {
		t.Fatal(err)
	}
	return wrapped
}

// What somebody copied before a dataset was deleted is of no use with the store after it, and the key is nowhere in the directory any more.
func TestABlobThatWasCopiedCannotBeOpenedOnceItsDatasetIsDeleted(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	newDataset(t, s, "train", "")
	newDataset(t, s, "test", "train")
	newDataset(t, s, "other", "")
	writeDatasetBlob(t, s, "train", "state", "r", []byte("samples"))
	copies, keys := map[string][]byte{}, [][]byte{wrappedKey(t, s, "train"), wrappedKey(t, s, "test")}
	for _, id := range []string{"train", "test"} {
		path, err := s.blobPath("dataset", id)
		if err != nil {
			t.Fatal(err)
		}
		if copies[path], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.DeleteDataset(t.Context(), "train"); err != nil {
		t.Fatal(err)
	}
	for name, content := range directoryFiles(t, dir) {
		for _, key := range keys {
			if bytes.Contains(content, key) {
				t.Errorf("%s holds a key that was destroyed", name)
			}
		}
	}
	for path, content := range copies {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"train", "test"} {
		_, err := readDatasetBlob(t, s, id, "dataset", id)
		wantBlobFault(t, err, BlobKeyGone)
		_, err = readBlob(s, "dataset", id)
		wantBlobFault(t, err, BlobWrongKey)
	}
	_, err := readDatasetBlob(t, s, "train", "state", "r")
	wantBlobFault(t, err, BlobKeyGone)
	_, err = s.CreateDatasetBlob(t.Context(), "train", "state", "late")
	wantBlobFault(t, err, BlobKeyGone)
	// Nor by a dataset that takes the name.
	if err := s.InsertDataset(t.Context(), DatasetRow{ID: "train", Owner: "o"}); err != nil {
		t.Fatal(err)
	}
	writeDatasetBlob(t, s, "train", "state", "new", nil)
	_, err = readDatasetBlob(t, s, "train", "dataset", "train")
	wantBlobFault(t, err, BlobWrongKey)
	if got, err := readDatasetBlob(t, s, "other", "dataset", "other"); err != nil || string(got) != "records of other" {
		t.Errorf("another dataset's: %q, %v", got, err)
	}
}

func directoryFiles(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	for _, name := range names(t, dir) {
		if content, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			found[name] = content
		}
	}
	return found
}

func TestABlobIsOpenedByItsOwnDatasetsKeyOnlyAndTheKeySurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	newDataset(t, s, "a", "")
	newDataset(t, s, "b", "")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir)
	if got, err := readDatasetBlob(t, s, "a", "dataset", "a"); err != nil || string(got) != "records of a" {
		t.Errorf("%q, %v", got, err)
	}
	_, err := readDatasetBlob(t, s, "b", "dataset", "a")
	wantBlobFault(t, err, BlobWrongKey)
	digest := sha256.Sum256([]byte("records of a"))
	file, err := s.DatasetMemfd(t.Context(), "a", "dataset", "a", digest[:])
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
}

// Whoever writes to the disk can neither exchange two keys nor put one there that they know.
func TestAWrappedKeyThatWasChangedExchangedOrMadeByAnotherIsRefused(t *testing.T) {
	s, other := openStore(t, t.TempDir()), openStore(t, t.TempDir())
	newDataset(t, s, "a", "")
	newDataset(t, s, "b", "")
	newDataset(t, other, "a", "")
	changed := wrappedKey(t, s, "a")
	changed[len(changed)-1] ^= 1
	for name, wrapped := range map[string][]byte{
		"changed": changed, "cut": changed[:10], "empty": {}, "another dataset's": wrappedKey(t, s, "b"), "another server's": wrappedKey(t, other, "a"),
	} {
		if _, err := s.db.Exec("UPDATE dataset_keys SET wrapped = ? WHERE dataset_id = 'a'", wrapped); err != nil {
			t.Fatal(err)
		}
		if _, err := s.CreateDatasetBlob(t.Context(), "a", "state", "s"); err == nil || !strings.Contains(err.Error(), "unwrap key of dataset") {
			t.Errorf("%s: writing: %v", name, err)
		}
		if _, err := readDatasetBlob(t, s, "a", "dataset", "a"); err == nil || !strings.Contains(err.Error(), "unwrap key of dataset") {
			t.Errorf("%s: reading: %v", name, err)
		}
	}
}

func TestKeysOfDatasetsThatNeverCameToBeAreDestroyed(t *testing.T) {
	s := openStore(t, t.TempDir())
	newDataset(t, s, "kept", "")
	for _, id := range []string{"aborted", "crashed"} {
		if err := s.NewDatasetKey(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.DeleteDatasetKey(t.Context(), "aborted"), s.DeleteDatasetKey(t.Context(), "never"), s.SweepDatasetKeys(t.Context())); err != nil {
		t.Fatal(err)
	}
	count, err := queryRow(t.Context(), s, "count", scanCount, "SELECT count(*) FROM dataset_keys")
	if err != nil || count != 1 {
		t.Errorf("%d keys, %v", count, err)
	}
}

// oldDirectory is one as the release before keys of datasets made it: its schema, and blobs under the server's key.
func oldDirectory(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	old := &Store{dir: dir, level: File, files: osFiles{}, blobsInWork: map[string]bool{}}
	for _, folder := range []string{keyFolder, blobFolder} {
		if err := makeFolder(filepath.Join(dir, folder)); err != nil {
			t.Fatal(err)
		}
	}
	lock, err := lockDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	if old.db, err = openOldDatabase(t, filepath.Join(dir, DatabaseFile)); err != nil {
		t.Fatal(err)
	}
	if old.identity, err = old.loadBlobKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	writeBlob(t, old, "dataset", "d", []byte("records"))
	writeBlob(t, old, "state", "s", []byte("samples"))
	_, err = old.db.Exec("INSERT INTO datasets (id, owner, created_unix_ms, card, records, record_bytes, blob_sha256, blob_bytes) VALUES ('d', 'o', 7, x'', 1, 1, x'', 1)")
	if err := errors.Join(err, old.db.Close(), lock.Close()); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestBlobsOfBeforeThereWereKeysOfDatasetsStillOpen(t *testing.T) {
	s := openStore(t, oldDirectory(t))
	if s.Level() != File {
		t.Errorf("level %q", s.Level())
	}
	for _, round := range []string{"before", "after"} { // a key was made for what is new
		for kind, id := range map[string]string{"dataset": "d", "state": "s"} {
			if _, err := readDatasetBlob(t, s, "d", kind, id); err != nil {
				t.Errorf("%s: %s: %v", round, kind, err)
			}
		}
		writeDatasetBlob(t, s, "d", "state", "new"+round, []byte("new"))
	}
	if _, err := readBlob(s, "state", "newbefore"); err == nil {
		t.Error("what is new is under the server's key")
	}
}

// Two calls that both found none: what was written under the one must open with the other.
func TestAKeyThatAnotherCallMadeMeanwhileStays(t *testing.T) {
	s := openStore(t, oldDirectory(t))
	first, err := s.lateKey(t.Context(), "d")
	second, secondErr := s.lateKey(t.Context(), "d")
	if err := errors.Join(err, secondErr); err != nil || first.String() != second.String() {
		t.Errorf("two keys, or %v", err)
	}
}
