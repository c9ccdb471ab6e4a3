package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// Whoever mounts a directory of the host into a container is told whose it is, and whose it should be.
func TestADirectoryOfAnotherUserIsNamed(t *testing.T) {
	dir, owner := "/", 0
	if os.Geteuid() == 0 {
		dir, owner = t.TempDir(), 12345
		if err := os.Chown(dir, owner, owner); err != nil {
			t.Fatal(err)
		}
	}
	var refused *refusal.Error
	err := notOurs(dir, fmt.Errorf("restrict: %w", fs.ErrPermission))
	if !errors.As(err, &refused) || refused.Kind != refusal.Unavailable {
		t.Fatalf("%v", err)
	}
	if !strings.Contains(err.Error(), fmt.Sprintf("belongs to user %d, and the server runs as user %d", owner, os.Geteuid())) {
		t.Errorf("%v", err)
	}
	if !strings.Contains(refused.Next, fmt.Sprintf("chown -R %d:%d", os.Geteuid(), os.Getegid())) {
		t.Errorf("%s", refused.Next)
	}
	if err := notOurs(dir, fs.ErrInvalid); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("another fault: %v", err)
	}
	if err := notOurs(t.TempDir(), fs.ErrPermission); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a directory of our own: %v", err)
	}
}
