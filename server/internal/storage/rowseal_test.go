package storage

import (
	"strings"
	"testing"
)

func sealed(t *testing.T, level Level) *Store {
	t.Helper()
	s, err := Open(t.Context(), t.TempDir(), level)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	rows := []DatasetRow{
		{ID: "a", Owner: "o", CreatedUnixMS: 7, Card: []byte("card"), Records: 4, RecordBytes: 8, BlobSHA256: []byte{1}, BlobBytes: 32, Permissions: []byte("nobody")},
		{ID: "b", Owner: "p", CreatedUnixMS: 8, Card: []byte("more"), Records: 5, RecordBytes: 9, BlobSHA256: []byte{2}, BlobBytes: 45, Permissions: []byte("all")},
		{ID: "t", Owner: "o", TestOf: "a", Card: nil, Permissions: nil},
	}
	for _, row := range rows {
		if err := s.InsertDataset(t.Context(), row); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// Whoever writes to the disk under a server gets no other records, no other form of them, and no other permissions.
func TestARowOfADatasetThatWasChangedOnTheDiskIsRefused(t *testing.T) {
	for name, change := range map[string]string{
		"owner":               "owner = 'p'",
		"whose test set":      "test_of = 'b'",
		"created":             "created_unix_ms = 9",
		"card":                "card = x'00'",
		"records":             "records = 8",
		"bytes of a record":   "record_bytes = 4",
		"digest":              "blob_sha256 = x'02'",
		"size":                "blob_bytes = 16",
		"permissions":         "permissions = x'01'",
		"another's row":       "(card, records, permissions, seal) = (SELECT card, records, permissions, seal FROM datasets WHERE id = 'b')",
		"card to permissions": "card = x'6361', permissions = x'72646e6f626f6479'",
	} {
		for _, level := range []Level{File, Memory} {
			s := sealed(t, level)
			if _, err := s.db.Exec("UPDATE datasets SET " + change + " WHERE id = 'a'"); err != nil {
				t.Fatal(err)
			}
			_, err := s.Dataset(t.Context(), "a")
			_, listErr := s.Datasets(t.Context())
			setErr := s.SetPermissions(t.Context(), "a", nil)
			for _, err := range []error{err, listErr, setErr} {
				if err == nil || !strings.Contains(err.Error(), "was changed on the disk") {
					t.Errorf("%s, at %s: %v", name, level, err)
				}
			}
		}
	}
}

func TestARowWithoutASealIsOneOfBeforeWhichTheLevelMemoryNeverHas(t *testing.T) {
	for level, want := range map[Level]bool{File: true, Memory: false} {
		s := sealed(t, level)
		if _, err := s.db.Exec("UPDATE datasets SET seal = x''"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Dataset(t.Context(), "a"); (err == nil) != want {
			t.Errorf("at %s: %v", level, err)
		}
	}
}

func TestWhatIsPermittedAnewIsSealedAnew(t *testing.T) {
	s := sealed(t, Memory)
	if err := s.SetPermissions(t.Context(), "a", []byte("all")); err != nil {
		t.Fatal(err)
	}
	if d, err := s.Dataset(t.Context(), "a"); err != nil || string(d.Permissions) != "all" || d.Records != 4 {
		t.Errorf("%+v, %v", d, err)
	}
	if _, err := s.TestSetOf(t.Context(), "a"); err != nil {
		t.Error(err)
	}
}
