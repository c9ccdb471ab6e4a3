package storage

import (
	"database/sql"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// openOldDatabase makes one of the release before keys of datasets.
func openOldDatabase(t *testing.T, path string) (*sql.DB, error) {
	t.Helper()
	until := slices.IndexFunc(migrations[:], func(step string) bool { return strings.Contains(step, "dataset_keys") })
	db, err := sql.Open("sqlite", databaseURL(path))
	if err != nil {
		return nil, err
	}
	_, err = migrate(t.Context(), db, migrations[:until])
	return db, err
}

func openLevel(t *testing.T, dir string, level Level) *Store {
	t.Helper()
	s, err := Open(t.Context(), dir, level)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestADirectoryKeepsTheLevelThatItWasFirstOpenedWith(t *testing.T) {
	for first, second := range map[Level]Level{File: Memory, Memory: File} {
		dir := t.TempDir()
		if err := openLevel(t, dir, first).Close(); err != nil {
			t.Fatal(err)
		}
		_, err := Open(t.Context(), dir, second)
		wantRefusal(t, err, refusal.InvalidArgument, string(first), "start with --storage "+string(first))
		if err := openLevel(t, dir, first).Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Open(t.Context(), oldDirectory(t), Memory)
	wantRefusal(t, err, refusal.InvalidArgument, "start with --storage file")
	_, err = Open(t.Context(), t.TempDir(), "disk")
	wantRefusal(t, err, refusal.InvalidArgument, "give file or memory")
}

func TestAtTheLevelMemoryNoFileHoldsTheServersKey(t *testing.T) {
	dir := t.TempDir()
	s := openLevel(t, dir, Memory)
	newDataset(t, s, "d", "")
	secret := s.identity.String()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if strings.Contains(string(content), secret) {
			t.Errorf("%s holds the key", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := names(t, s.KeyDir()); len(got) != 0 {
		t.Errorf("keys: %v", got)
	}
	purpose, before := "bastionlab test 1", s.DeriveKey("bastionlab test 1")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if openLevel(t, dir, Memory).DeriveKey(purpose) == before {
		t.Error("the next start has the key of this one")
	}
}

// After a restart nothing is listed that cannot be read; who signed in, what holds for the directory and what was run stay known.
func TestARestartAtTheLevelMemoryRemovesWhatItCannotReadAndKeepsWhatHappened(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	s := openLevel(t, dir, Memory)
	newDataset(t, s, "d", "")
	newDataset(t, s, "t", "d")
	for kind, id := range map[string]string{"digests": "d", "model": "m", "weights": "r"} {
		writeBlob(t, s, kind, id, []byte("x"))
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.RecordUser(ctx, "u", []byte("key"), 1))
	must(s.SetFact(ctx, "mode", []byte("development")))
	must(s.InsertModel(ctx, ModelRow{ID: "m", Owner: "u", Program: []byte("p")}))
	must(s.InsertModel(ctx, ModelRow{ID: "unused", Owner: "u"}))
	ended := RunRow{ID: "ended", ModelID: "m", Scientist: "u", Status: int32(bastionlabv1.RunStatus_RUN_STATUS_COMPLETED), EndedUnixMS: 5, WeightsSHA256: []byte("w"), Spent: "2 of 6"}
	must(s.InsertRun(ctx, ended))
	must(s.InsertRun(ctx, RunRow{ID: "r", ModelID: "m", Scientist: "u", Status: int32(bastionlabv1.RunStatus_RUN_STATUS_RUNNING), Train: []byte("t"), Spent: "1 of 6"}))
	must(s.Close())

	for range 2 { // the same again changes nothing
		s = openLevel(t, dir, Memory)
		datasets, err := s.Datasets(ctx)
		if err != nil || len(datasets) != 0 {
			t.Errorf("datasets %v, %v", datasets, err)
		}
		models, err := s.ModelsOf(ctx, "u")
		if err != nil || len(models) != 0 {
			t.Errorf("models %v, %v", models, err)
		}
		if m, err := s.Model(ctx, "m"); err != nil || m.Owner != "" || len(m.Program) != 0 {
			t.Errorf("what a run names: %+v, %v", m, err)
		}
		if _, err := s.Model(ctx, "unused"); err == nil {
			t.Error("a model that no run names is there")
		}
		var keys int
		if err := s.db.QueryRow("SELECT count(*) FROM dataset_keys").Scan(&keys); err != nil || keys != 0 {
			t.Errorf("%d keys of datasets, %v", keys, err)
		}
		for _, kind := range []string{"dataset", "digests", "model", "weights", "state"} {
			if ids, err := s.BlobIDs(kind); err != nil || len(ids) != 0 {
				t.Errorf("%s: %v, %v", kind, ids, err)
			}
		}
		if known, err := s.KnowsUser(ctx, "u"); !known || err != nil {
			t.Errorf("the user is gone: %v", err)
		}
		if mode, _, err := s.Fact(ctx, "mode"); string(mode) != "development" || err != nil {
			t.Errorf("mode %q, %v", mode, err)
		}
		run, err := s.Run(ctx, "ended")
		if err != nil || run.Status != ended.Status || run.EndedUnixMS != 5 || run.Spent != ended.Spent || len(run.WeightsSHA256) != 0 {
			t.Errorf("%+v, %v", run, err)
		}
		run, err = s.Run(ctx, "r")
		if err != nil || run.Status != int32(bastionlabv1.RunStatus_RUN_STATUS_FAILED) || run.EndedUnixMS == 0 || !strings.Contains(run.Failure, "keys are gone") || len(run.Train) != 0 {
			t.Errorf("%+v, %v", run, err)
		}
		must(s.Close())
	}
}
