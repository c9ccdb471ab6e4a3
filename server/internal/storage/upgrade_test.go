package storage

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// anEarlier makes the database of a release that knew so many steps, with something in it.
func anEarlier(t *testing.T, path string, version int) {
	t.Helper()
	db, err := sql.Open("sqlite", databaseURL(path))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := migrate(t.Context(), db, migrations[:version]); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "INSERT INTO facts (name, value) VALUES ('kept', x'2a')"); err != nil {
		t.Fatal(err)
	}
}

func versionOf(t *testing.T, path string) (version int) {
	t.Helper()
	db, err := sql.Open("sqlite", databaseURL(path))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(t.Context(), "PRAGMA user_version").Scan(&version); err != nil {
		t.Fatal(err)
	}
	return version
}

func TestEveryEarlierFormIsBroughtToThisOne(t *testing.T) {
	for version := 1; version < len(migrations); version++ {
		path := filepath.Join(t.TempDir(), DatabaseFile)
		anEarlier(t, path, version)
		db, created, err := openDatabase(t.Context(), path)
		if err != nil || created {
			t.Fatalf("from %d: %t, %v", version, created, err)
		}
		value, known, err := (&Store{db: db}).Fact(t.Context(), "kept")
		if err != nil || !known || string(value) != "*" {
			t.Errorf("from %d: %q, %t, %v", version, value, known, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if now := versionOf(t, path); now != len(migrations) {
			t.Errorf("from %d: it has version %d", version, now)
		}
	}
}

// An upgrade whose last step fails leaves what the release before it opens.
func TestAnUpgradeIsMadeWholeOrNotAtAll(t *testing.T) {
	path := filepath.Join(t.TempDir(), DatabaseFile)
	anEarlier(t, path, 2)
	db, err := sql.Open("sqlite", databaseURL(path))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	steps := append(append([]string{}, migrations[:]...), "CREATE TABLE facts (x)")
	if _, err := migrate(t.Context(), db, steps); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("from version 2 to version %d", len(steps))) {
		t.Errorf("got %v", err)
	}
	if now := versionOf(t, path); now != 2 {
		t.Errorf("it has version %d", now)
	}
	if _, err := migrate(t.Context(), db, migrations[:2]); err != nil {
		t.Errorf("the earlier release does not open it any more: %v", err)
	}
}

// smallMount is a file system of so many bytes.
func smallMount(t *testing.T, bytes int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=700", bytes)); err != nil {
		t.Skipf("a small file system can be mounted by root only: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes all room of a file system, and returns what gives it back.
func fill(t *testing.T, dir string) (empty func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = file.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	file.Close()
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAnUpgradeOnAFullDiskWaitsForRoom(t *testing.T) {
	dir := smallMount(t, 1<<20)
	path := filepath.Join(dir, DatabaseFile)
	anEarlier(t, path, 1)
	empty := fill(t, dir)
	_, _, err := openDatabase(t.Context(), path)
	wantRefusal(t, err, refusal.Unavailable, "no room left", "make room")
	empty()
	if now := versionOf(t, path); now != 1 {
		t.Errorf("it has version %d", now)
	}
	db, _, err := openDatabase(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if now := versionOf(t, path); now != len(migrations) {
		t.Errorf("after room was made it has version %d", now)
	}
}
