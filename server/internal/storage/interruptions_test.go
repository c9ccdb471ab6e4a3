package storage

import (
	"database/sql"
	"errors"
	"path/filepath"
	"reflect"
	"testing"
)

func withRun(t *testing.T) (*Store, RunRow) {
	t.Helper()
	s, err := Open(t.Context(), t.TempDir(), File)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	r := RunRow{ID: "r", ModelID: "m", DatasetID: "d", Train: []byte{9}, Status: 3}
	if err := errors.Join(s.InsertModel(t.Context(), ModelRow{ID: "m"}), s.InsertRun(t.Context(), r)); err != nil {
		t.Fatal(err)
	}
	return s, r
}

func expectCount(t *testing.T, s *Store, dataset string, want int64) {
	t.Helper()
	if count, err := s.Interruptions(t.Context(), dataset); err != nil || count != want {
		t.Errorf("%d interruptions, %v; want %d", count, err, want)
	}
}

func TestAnInterruptionIsCountedWithItsRunOrNotAtAll(t *testing.T) {
	s, r := withRun(t)
	expectCount(t, s, "d", 0)
	for want := int64(1); want <= 3; want++ {
		r.Interruptions++
		decided, err := s.RecordInterruption(t.Context(), r, func(count int64, r RunRow) RunRow { r.Status = int32(10 + count); return r })
		if err != nil || decided.Status != int32(10+want) {
			t.Fatalf("%v, %v", decided, err)
		}
		expectCount(t, s, "d", want)
		if found, err := s.Run(t.Context(), "r"); err != nil || found.Status != int32(10+want) || found.Interruptions != want {
			t.Errorf("the run is %+v, %v", found, err)
		}
	}
	expectCount(t, s, "another", 0)
	if _, err := s.RecordInterruption(t.Context(), RunRow{ID: "unknown", DatasetID: "d"}, func(_ int64, r RunRow) RunRow { return r }); !errors.Is(err, ErrNoRow) {
		t.Errorf("an unknown run: %v", err)
	}
	expectCount(t, s, "d", 3)
	r.Granted = 7
	if err := s.ForgiveInterruptions(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	expectCount(t, s, "d", 0)
	if found, err := s.Run(t.Context(), "r"); err != nil || found.Granted != 7 {
		t.Errorf("the run is %+v, %v", found, err)
	}
	if _, err := s.RecordInterruption(t.Context(), r, func(_ int64, r RunRow) RunRow { return r }); err != nil {
		t.Fatal(err)
	}
	if err := s.ForgiveInterruptions(t.Context(), RunRow{ID: "unknown", DatasetID: "d"}); !errors.Is(err, ErrNoRow) {
		t.Errorf("an unknown run: %v", err)
	}
	expectCount(t, s, "d", 1)
}

func TestWhatARunGoesOnWithIsKept(t *testing.T) {
	s, r := withRun(t)
	r.Attempts, r.Granted, r.Interruptions, r.Denial = 4, 5, 3, "no"
	r.StateID, r.StateSHA256, r.StateBytes, r.StateSteps = "ra4s8", []byte{1, 2}, 77, 8
	if err := s.UpdateRun(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	found, err := s.Run(t.Context(), "r")
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(found, r) {
		t.Errorf("found %+v, want %+v", found, r)
	}
	listed, err := s.UnfinishedRuns(t.Context())
	if err != nil || len(listed) != 1 || listed[0].StateID != r.StateID || len(listed[0].Train) != 0 {
		t.Errorf("listed %+v, %v", listed, err)
	}
}

// A directory of the release before keeps its runs, which go on from nothing.
func TestRunsOfTheReleaseBeforeAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), DatabaseFile)
	db, err := sql.Open("sqlite", databaseURL(path))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := migrate(t.Context(), db, migrations[:1]); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`INSERT INTO models (id, owner, dataset_id, name, description, loss, created_unix_ms, program, report, blob_sha256, blob_bytes)
			VALUES ('m', '', '', '', '', '', 0, x'', x'', x'', 0)`,
		`INSERT INTO runs (id, model_id, dataset_id, dataset_owner, scientist, name, description, created_unix_ms, ended_unix_ms, status, failure, spent,
			request, plan, steps_done, epochs_done, weights_sha256, weights_bytes) VALUES ('old', 'm', 'd', '', '', 'n', '', 0, 0, 3, '', '', x'', x'', 5, 1, x'', 0)`,
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := migrate(t.Context(), db, migrations[:]); err != nil {
		t.Fatal(err)
	}
	s := &Store{db: db}
	found, err := s.Run(t.Context(), "old")
	if err != nil || found.Name != "n" || found.StepsDone != 5 || len(found.Train) != 0 || found.StateID != "" || found.Attempts != 0 {
		t.Errorf("found %+v, %v", found, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
