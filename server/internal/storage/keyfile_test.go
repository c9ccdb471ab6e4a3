package storage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

func TestAKeyThatIsMissingWrongOrOpenToOthersIsRefusedAndNeverReplaced(t *testing.T) {
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		alter func(path string) error
		words string
	}{
		"missing":  {os.Remove, "is missing"},
		"empty":    {func(path string) error { return os.WriteFile(path, nil, 0o600) }, "is damaged"},
		"damaged":  {func(path string) error { return os.WriteFile(path, []byte("AGE-SECRET-KEY-1QQ\n"), 0o600) }, "is damaged"},
		"another":  {func(path string) error { return os.WriteFile(path, []byte(other.String()), 0o600) }, "is not the one"},
		"readable": {func(path string) error { return os.Chmod(path, 0o640) }, "open to others"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, dir)
			path := filepath.Join(s.KeyDir(), blobKeyFile)
			if err := errors.Join(s.Close(), c.alter(path)); err != nil {
				t.Fatal(err)
			}
			before, _ := os.ReadFile(path)
			_, err := Open(t.Context(), dir, File)
			wantRefusal(t, err, refusal.Unavailable, c.words)
			if strings.Contains(err.Error(), "SECRET") {
				t.Errorf("%q quotes the key", err)
			}
			after, _ := os.ReadFile(path)
			if string(after) != string(before) {
				t.Error("the key file was changed")
			}
		})
	}
}

func TestAKeyFileIsNeverReplacedAndNeverHalfWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := CreateKeyFile(path, []byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := CreateKeyFile(path, []byte("two")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v", err)
	}
	content, err := ReadKeyFile(path)
	if err != nil || string(content) != "one" {
		t.Errorf("%q, %v", content, err)
	}
	if got := names(t, filepath.Dir(path)); len(got) != 1 {
		t.Errorf("left beside the key: %v", got)
	}
	if _, err := ReadKeyFile(filepath.Dir(path)); err == nil {
		t.Error("a folder was read as a key")
	}
}

func TestAReplacedKeyFileIsWholeAndItsOwnersAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server.pem")
	if err := os.WriteFile(path, []byte("old, and longer"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := ReplaceKeyFile(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if content, err := ReadKeyFile(path); err != nil || string(content) != "new" { // which refuses what others may read
		t.Errorf("%q, %v", content, err)
	}
	if left := names(t, filepath.Dir(path)); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}
