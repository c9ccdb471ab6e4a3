package storage

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// openStore opens a store that the test closes.
func openStore(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), dir, File)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func wantRefusal(t *testing.T, err error, kind refusal.Kind, words ...string) {
	t.Helper()
	if err == nil || refusal.KindOf(err) != kind {
		t.Fatalf("got %v, want a refusal of kind %d", err, kind)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
}

func TestEverythingInTheDirectoryIsItsOwnersOnly(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil { // as a person may have made it
		t.Fatal(err)
	}
	s := openStore(t, dir)
	writeBlob(t, s, "dataset", "a", []byte("x"))
	if err := s.SetFact(t.Context(), "a", nil); err != nil { // so that the write-ahead log is there
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s", entry.Name(), info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAMissingDirectoryIsMade(t *testing.T) {
	openStore(t, filepath.Join(t.TempDir(), "new", "data"))
}

func TestASecondServerOnTheSameDirectoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	first := openStore(t, dir)
	if !first.Created() {
		t.Error("a new directory does not count as created")
	}
	_, err := Open(t.Context(), dir, File)
	wantRefusal(t, err, refusal.Unavailable, "in use by another server (process ", "stop that server")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if openStore(t, dir).Created() {
		t.Error("an old directory counts as created")
	}
}

func TestADirectoryOfSomethingElseIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "thesis.tex"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), dir, File)
	wantRefusal(t, err, refusal.InvalidArgument, "no data directory")
	info, _ := os.Stat(dir)
	entries, _ := os.ReadDir(dir)
	if info.Mode().Perm() != 0o755 || len(entries) != 1 {
		t.Errorf("the directory was changed: %s, %v", info.Mode(), entries)
	}
}

func TestADatabaseThatThisReleaseCannotReadIsRefusedByNameAndLeftAlone(t *testing.T) {
	cases := map[string]struct {
		alter string
		kind  refusal.Kind
		words []string
	}{
		"newer":   {"PRAGMA user_version = 99", refusal.VersionMismatch, []string{"newer release", "version 99", fmt.Sprintf("up to %d", len(migrations))}},
		"foreign": {"PRAGMA application_id = 7", refusal.InvalidArgument, []string{"another program"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, dir)
			if _, err := s.db.Exec(c.alter); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			before, err := os.ReadFile(filepath.Join(dir, DatabaseFile))
			if err != nil {
				t.Fatal(err)
			}
			_, err = Open(t.Context(), dir, File)
			wantRefusal(t, err, c.kind, c.words...)
			after, err := os.ReadFile(filepath.Join(dir, DatabaseFile))
			if err != nil || string(after) != string(before) {
				t.Errorf("the database was changed (%v)", err)
			}
		})
	}
}

func TestMigrationsAreAppliedOnceInOrderAndWholeOrNotAtAll(t *testing.T) {
	db, err := sql.Open("sqlite", databaseURL(filepath.Join(t.TempDir(), "x.db")))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ctx := context.Background()
	steps := []string{"CREATE TABLE a (x) STRICT"}
	if _, err := migrate(ctx, db, steps); err == nil { // a column without a type, in a strict table
		t.Fatal("a wrong step was applied")
	}
	steps = []string{"CREATE TABLE a (x INTEGER) STRICT"}
	if created, err := migrate(ctx, db, steps); err != nil || !created {
		t.Fatal(created, err)
	}
	broken := append(steps, "CREATE TABLE b (x INTEGER) STRICT; CREATE TABLE a (x INTEGER) STRICT")
	if _, err := migrate(ctx, db, broken); err == nil {
		t.Fatal("a step whose second half fails was applied")
	}
	mended := append(steps, "CREATE TABLE b (x INTEGER) STRICT; INSERT INTO b VALUES (1)")
	for range 2 {
		if created, err := migrate(ctx, db, mended); err != nil || created {
			t.Fatal(created, err)
		}
	}
	var count, version int
	if err := db.QueryRow("SELECT count(*) FROM b").Scan(&count); err != nil || count != 1 {
		t.Errorf("the second step ran %d times (%v)", count, err)
	}
	if err := db.QueryRow("PRAGMA user_version").Scan(&version); err != nil || version != 2 {
		t.Errorf("version %d (%v)", version, err)
	}
}

func TestPragmasHoldOnEveryConnection(t *testing.T) {
	s := openStore(t, t.TempDir())
	want := map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "10000", "secure_delete": "1"}
	for range maxConnections {
		conn, err := s.db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close() // all stay open until the end, so that each is another one
		for pragma, value := range want {
			var got string
			if err := conn.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != value {
				t.Errorf("%s is %s, not %s (%v)", pragma, got, value, err)
			}
		}
	}
	if pragmas[0] != "busy_timeout(10000)" {
		t.Error("another pragma comes before busy_timeout")
	}
}

func TestWhatAKilledServerLeftUnfinishedIsRemoved(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	writeBlob(t, s, "dataset", "kept", []byte("kept"))
	unfinished, err := s.CreateBlob("dataset", "cut")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unfinished.Write(make([]byte, 200_000)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{temporaryName(filepath.Join(s.KeyDir(), "server.pem")), filepath.Join(s.KeyDir(), ".new-1234")} {
		if err := os.WriteFile(name, []byte("a key"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil { // neither committed nor aborted
		t.Fatal(err)
	}
	if got := names(t, filepath.Join(dir, blobFolder, "dataset")); len(got) != 2 {
		t.Fatalf("nothing was left to remove: %v", got)
	}
	s = openStore(t, dir)
	if got := names(t, filepath.Join(dir, blobFolder, "dataset")); len(got) != 1 || got[0] != "kept.age" {
		t.Errorf("left: %v", got)
	}
	if got := names(t, s.KeyDir()); len(got) != 1 || got[0] != blobKeyFile {
		t.Errorf("keys that are left: %v", got)
	}
	writeBlob(t, s, "dataset", "cut", []byte("again"))
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, entry := range entries {
		found = append(found, entry.Name())
	}
	return found
}
