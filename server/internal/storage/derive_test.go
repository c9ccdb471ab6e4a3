package storage

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestADerivedKeyIsItsPurposesAndItsDirectorysAlone(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	key := s.DeriveKey("digests 1")
	if key != s.DeriveKey("digests 1") {
		t.Error("one purpose has two keys")
	}
	for name, other := range map[string][32]byte{
		"another purpose":           s.DeriveKey("digests 2"),
		"no purpose":                s.DeriveKey(""),
		"nothing":                   {},
		"the directory beside this": openStore(t, t.TempDir()).DeriveKey("digests 1"),
	} {
		if key == other {
			t.Errorf("%s has the same key", name)
		}
	}
	secret, err := os.ReadFile(filepath.Join(dir, keyFolder, blobKeyFile))
	if err != nil || strings.Contains(string(secret), string(key[:])) {
		t.Errorf("the key is the secret itself (%v)", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if openStore(t, dir).DeriveKey("digests 1") != key {
		t.Error("another key after a restart")
	}
}
