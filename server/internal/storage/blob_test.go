package storage

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
)

func writeBlob(t *testing.T, s *Store, kind, id string, content []byte) []byte {
	t.Helper()
	b, err := s.CreateBlob(kind, id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write(content); err != nil {
		t.Fatal(err)
	}
	digest, size, err := b.Commit()
	if want := sha256.Sum256(content); err != nil || size != int64(len(content)) || !bytes.Equal(digest, want[:]) {
		t.Fatalf("digest %x, size %d, %v", digest, size, err)
	}
	return digest
}

func readBlob(s *Store, kind, id string) ([]byte, error) {
	b, err := s.OpenBlob(kind, id)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	return io.ReadAll(b)
}

func TestABlobComesBackAsItWas(t *testing.T) {
	s := openStore(t, t.TempDir())
	for i, size := range []int{0, 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 300_000} {
		content := bytes.Repeat([]byte{byte(i + 1)}, size)
		id := string(rune('a' + i))
		writeBlob(t, s, "dataset", id, content)
		if got, err := readBlob(s, "dataset", id); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes: got %d, %v", size, len(got), err)
		}
	}
	if ids, err := s.BlobIDs("dataset"); err != nil || strings.Join(ids, "") != "abcdef" {
		t.Errorf("listed %v, %v", ids, err)
	}
	if ids, err := s.BlobIDs("weights"); err != nil || len(ids) != 0 {
		t.Errorf("listed %v, %v", ids, err)
	}
}

func TestABlobIsVisibleWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	b, err := s.CreateBlob("model", "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write(make([]byte, 200_000)); err != nil {
		t.Fatal(err)
	}
	wantFault(t, s, "model", "a", BlobMissing)
	if _, err := s.CreateBlob("model", "a"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second writer of the same name: %v", err)
	}
	b.Abort()
	b.Abort()
	if _, err := b.Write([]byte("x")); err == nil {
		t.Error("written after an abort")
	}
	if _, _, err := b.Commit(); err == nil {
		t.Error("committed after an abort")
	}
	if left := names(t, filepath.Join(dir, blobFolder, "model")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	writeBlob(t, s, "model", "a", []byte("content"))
	if _, err := s.CreateBlob("model", "a"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a writer over a blob: %v", err)
	}
	for range 2 {
		if err := s.DeleteBlob("model", "a"); err != nil {
			t.Error(err)
		}
	}
	wantFault(t, s, "model", "a", BlobMissing)
}

func wantFault(t *testing.T, s *Store, kind, id string, faults ...BlobFault) {
	t.Helper()
	content, err := readBlob(s, kind, id)
	var fault *BlobError
	if !errors.As(err, &fault) || fault.Kind != kind {
		t.Fatalf("got %d bytes, %v; want a BlobError", len(content), err)
	}
	for _, want := range faults {
		if fault.Fault == want {
			return
		}
	}
	t.Fatalf("got %v, want one of %q", err, faults)
}

// alterBlob replaces a blob's file.
func alterBlob(t *testing.T, s *Store, kind, id string, file []byte) {
	t.Helper()
	path, err := s.blobPath(kind, id)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
}

func blobFileOf(t *testing.T, s *Store, kind, id string) []byte {
	t.Helper()
	path, err := s.blobPath(kind, id)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestEveryChangedOrCutBlobIsRefusedByKindAndWithoutItsContent(t *testing.T) {
	const marker = "MARKER-OF-A-RECORD"
	s := openStore(t, t.TempDir())
	writeBlob(t, s, "dataset", "a", []byte(marker))
	good := blobFileOf(t, s, "dataset", "a")
	check := func(what string, at int, file []byte) {
		alterBlob(t, s, "dataset", "a", file)
		content, err := readBlob(s, "dataset", "a")
		var fault *BlobError
		if !errors.As(err, &fault) || fault.Kind != "dataset" {
			t.Fatalf("%s at byte %d: got %q, %v", what, at, content, err)
		}
		if strings.Contains(err.Error(), marker) || !strings.Contains(err.Error(), "stored dataset") {
			t.Fatalf("%s at byte %d: %q", what, at, err)
		}
	}
	for at := range good {
		flipped := bytes.Clone(good)
		flipped[at] ^= 1
		check("flipped", at, flipped)
		check("cut", at, good[:at])
	}
	check("longer", len(good), append(bytes.Clone(good), 0))
	alterBlob(t, s, "dataset", "a", good)
	if content, err := readBlob(s, "dataset", "a"); err != nil || string(content) != marker {
		t.Errorf("the good file is refused: %q, %v", content, err)
	}
}

func TestABlobCutBetweenChunksIsRefused(t *testing.T) {
	s := openStore(t, t.TempDir())
	writeBlob(t, s, "dataset", "a", make([]byte, 300_000))
	good := blobFileOf(t, s, "dataset", "a")
	for cut := 1; cut < 5; cut++ {
		alterBlob(t, s, "dataset", "a", good[:len(good)-cut*(64<<10+16)])
		wantFault(t, s, "dataset", "a", BlobDamaged)
	}
}

func TestABlobForAnotherKeyOrUnderAnotherNameIsRefused(t *testing.T) {
	s, stranger := openStore(t, t.TempDir()), openStore(t, t.TempDir())
	writeBlob(t, s, "dataset", "a", []byte("a"))
	writeBlob(t, s, "dataset", "b", []byte("b"))
	writeBlob(t, s, "weights", "a", []byte("w"))
	writeBlob(t, stranger, "dataset", "a", []byte("s"))

	alterBlob(t, s, "dataset", "b", blobFileOf(t, s, "dataset", "a"))
	wantFault(t, s, "dataset", "b", BlobMisplaced)
	alterBlob(t, s, "weights", "a", blobFileOf(t, s, "dataset", "a"))
	wantFault(t, s, "weights", "a", BlobMisplaced)
	alterBlob(t, s, "dataset", "a", blobFileOf(t, stranger, "dataset", "a"))
	wantFault(t, s, "dataset", "a", BlobWrongKey)

	// A plaintext that somebody encrypted for the right key, without a label.
	var foreign bytes.Buffer
	w, err := age.Encrypt(&foreign, s.identity.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	alterBlob(t, s, "dataset", "b", foreign.Bytes())
	wantFault(t, s, "dataset", "b", BlobMisplaced)
}

func TestNothingOfABlobLiesInTheClear(t *testing.T) {
	marker := []byte("MARKER-OF-A-RECORD-0123456789")
	dir := t.TempDir()
	s := openStore(t, dir)
	writeBlob(t, s, "dataset", "a", bytes.Repeat(marker, 5000))
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if bytes.Contains(content, marker) {
			t.Errorf("%s holds the content", entry.Name())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestBlobNamesCannotLeadElsewhere(t *testing.T) {
	s := openStore(t, t.TempDir())
	for _, name := range [][2]string{{"..", "a"}, {"dataset", ".."}, {"dataset", "a/b"}, {"", "a"}, {"dataset", ""}, {"dataset", "A"}, {"dataset", "a\x00"}} {
		if _, err := s.CreateBlob(name[0], name[1]); err == nil {
			t.Errorf("%q: created", name)
		}
		if _, err := s.OpenBlob(name[0], name[1]); err == nil {
			t.Errorf("%q: opened", name)
		}
		if err := s.DeleteBlob(name[0], name[1]); err == nil {
			t.Errorf("%q: deleted", name)
		}
	}
}

func TestASweepTakesWhatIsNotWantedOfOneKind(t *testing.T) {
	s := openStore(t, t.TempDir())
	for _, id := range []string{"a", "b", "c"} {
		writeBlob(t, s, "digests", id, []byte(id))
		writeBlob(t, s, "dataset", id, []byte(id))
	}
	unknown := errors.New("not known")
	if err := s.SweepBlobs("digests", func(id string) (bool, error) { return false, unknown }); !errors.Is(err, unknown) {
		t.Errorf("got %v", err)
	}
	if err := s.SweepBlobs("weights", func(string) (bool, error) { return false, unknown }); err != nil {
		t.Errorf("nothing to sweep: %v", err)
	}
	if err := s.SweepBlobs("digests", func(id string) (bool, error) { return id == "b", nil }); err != nil {
		t.Error(err)
	}
	for kind, want := range map[string]string{"digests": "b", "dataset": "abc"} {
		if ids, err := s.BlobIDs(kind); err != nil || strings.Join(ids, "") != want {
			t.Errorf("%s left: %v, %v", kind, ids, err)
		}
	}
}
