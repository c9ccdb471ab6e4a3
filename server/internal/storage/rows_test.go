package storage

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestRowsSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	ctx := t.Context()
	dataset := DatasetRow{ID: "d", Owner: "o", CreatedUnixMS: 1, Card: []byte{1}, Records: 2, RecordBytes: 3, BlobSHA256: []byte{4}, BlobBytes: 5, Permissions: []byte{6}}
	model := ModelRow{
		ID: "m", Owner: "s", DatasetID: "d", Name: "n", Description: "t", Loss: "l1", CreatedUnixMS: 6, Program: []byte{7}, Report: []byte{8},
		BlobSHA256: []byte{9}, BlobBytes: 10,
	}
	run := RunRow{
		ID: "r", ModelID: "m", DatasetID: "d", DatasetOwner: "o", Scientist: "s", Name: "n", Description: "t", CreatedUnixMS: 11, Status: 2,
		Request: []byte{12}, Plan: []byte{13},
	}
	for _, err := range []error{
		s.InsertDataset(ctx, dataset), s.InsertModel(ctx, model), s.InsertRun(ctx, run), s.RecordUser(ctx, "u", []byte{14}, 15),
		s.RecordUser(ctx, "u", []byte{14}, 16), s.SetFact(ctx, "f", []byte("old")), s.SetFact(ctx, "f", []byte("new")),
		s.LedgerMark().Acknowledge(1, 100, []byte{17}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir)
	if got, err := s.Dataset(ctx, "d"); err != nil || !reflect.DeepEqual(got, dataset) {
		t.Errorf("dataset %+v, %v", got, err)
	}
	if got, err := s.Model(ctx, "m"); err != nil || !reflect.DeepEqual(got, model) {
		t.Errorf("model %+v, %v", got, err)
	}
	if got, err := s.Run(ctx, "r"); err != nil || !reflect.DeepEqual(got, run) {
		t.Errorf("run %+v, %v", got, err)
	}
	if got, err := s.Users(ctx); err != nil || !reflect.DeepEqual(got, []UserRow{{ID: "u", PublicKey: []byte{14}, AddedUnixMS: 15, LastSeenUnixMS: 16}}) {
		t.Errorf("users %+v, %v", got, err)
	}
	if got, known, err := s.Fact(ctx, "f"); err != nil || !known || string(got) != "new" {
		t.Errorf("fact %q, %v", got, err)
	}
	if records, bytes, chain, err := s.LedgerMark().Acknowledged(); err != nil || records != 1 || bytes != 100 || !slices.Equal(chain, []byte{17}) {
		t.Errorf("mark %d, %d, %v, %v", records, bytes, chain, err)
	}
}

func TestWhatIsNotThereIsSaidSo(t *testing.T) {
	s := openStore(t, t.TempDir())
	ctx := t.Context()
	_, errDataset := s.Dataset(ctx, "x")
	_, errTest := s.TestSetOf(ctx, "x")
	_, errModel := s.Model(ctx, "x")
	_, errRun := s.Run(ctx, "x")
	_, errUser := s.User(ctx, "x")
	for _, err := range []error{errDataset, errTest, errModel, errRun, errUser, s.DeleteDataset(ctx, "x"), s.UpdateRun(ctx, RunRow{ID: "x"})} {
		if !errors.Is(err, ErrNoRow) {
			t.Errorf("got %v", err)
		}
	}
	if _, known, err := s.Fact(ctx, "x"); known || err != nil {
		t.Error(known, err)
	}
	if known, err := s.KnowsUser(ctx, "x"); known || err != nil {
		t.Error(known, err)
	}
	if records, bytes, chain, err := s.LedgerMark().Acknowledged(); records != 0 || bytes != 0 || chain != nil || err != nil {
		t.Error(records, bytes, chain, err)
	}
}

func TestDatasetsAreListedNewestFirstAndATestSetGoesWithItsTrainingSet(t *testing.T) {
	s := openStore(t, t.TempDir())
	ctx := t.Context()
	for _, d := range []DatasetRow{{ID: "a"}, {ID: "b"}, {ID: "t", TestOf: "a"}, {ID: "c"}} {
		if err := s.InsertDataset(ctx, d); err != nil { // all in the same millisecond
			t.Fatal(err)
		}
	}
	if err := s.InsertDataset(ctx, DatasetRow{ID: "u", TestOf: "a"}); err == nil {
		t.Error("a second test set was taken")
	}
	if err := s.InsertDataset(ctx, DatasetRow{ID: "u", TestOf: "nowhere"}); err == nil {
		t.Error("a test set of nothing was taken")
	}
	if err := s.InsertDataset(ctx, DatasetRow{ID: "a"}); err == nil {
		t.Error("an identifier was taken twice")
	}
	if test, err := s.TestSetOf(ctx, "a"); err != nil || test.ID != "t" {
		t.Error(test.ID, err)
	}
	if got := ids(t, s); !slices.Equal(got, []string{"c", "t", "b", "a"}) {
		t.Errorf("listed %v", got)
	}
	if err := s.DeleteDataset(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if got := ids(t, s); !slices.Equal(got, []string{"c", "b"}) {
		t.Errorf("left %v", got)
	}
}

func ids(t *testing.T, s *Store) (found []string) {
	t.Helper()
	rows, err := s.Datasets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		found = append(found, row.ID)
	}
	return found
}

func TestARunThatHasEndedStaysAsItIs(t *testing.T) {
	s := openStore(t, t.TempDir())
	ctx := t.Context()
	if err := s.InsertRun(ctx, RunRow{ID: "r", ModelID: "unknown"}); err == nil {
		t.Error("a run of no model was taken")
	}
	if err := s.InsertModel(ctx, ModelRow{ID: "m"}); err != nil {
		t.Fatal(err)
	}
	for _, r := range []RunRow{
		{ID: "1", ModelID: "m", Scientist: "s", DatasetOwner: "o"}, {ID: "2", ModelID: "m", Scientist: "o", DatasetOwner: "o"}, {ID: "3", ModelID: "m", Scientist: "x", DatasetOwner: "y"},
	} {
		r.Request, r.Plan, r.Description = []byte("request"), []byte("plan"), strings.Repeat("d", 400)
		if err := s.InsertRun(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	ended := RunRow{ID: "1", ModelID: "m", Scientist: "s", DatasetOwner: "o", Status: 4, EndedUnixMS: 9, StepsDone: 3, EpochsDone: 2, WeightsSHA256: []byte{1}, WeightsBytes: 4, Spent: "eps 2", History: []byte{5}, Result: []byte{6}}
	if err := s.UpdateRun(ctx, ended); err != nil {
		t.Fatal(err)
	}
	if err := s.UpdateRun(ctx, RunRow{ID: "1", Status: 5, EndedUnixMS: 10}); !errors.Is(err, ErrNoRow) {
		t.Errorf("ended twice: %v", err)
	}
	got, err := s.Run(ctx, "1")
	got.Request, got.Plan, got.Description = nil, nil, ""
	if err != nil || !reflect.DeepEqual(got, ended) {
		t.Errorf("got %+v, %v", got, err)
	}
	runIDs := func(rows []RunRow, err error) (found []string) {
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			found = append(found, row.ID)
		}
		return found
	}
	if got := runIDs(s.RunsOf(ctx, "o", 1<<20)); !slices.Equal(got, []string{"2", "1"}) {
		t.Errorf("runs of o: %v", got)
	}
	if got := runIDs(s.Runs(ctx, 1<<20)); !slices.Equal(got, []string{"3", "2", "1"}) {
		t.Errorf("runs: %v", got)
	}
	if got, err := s.RunsOf(ctx, "o", 2*1000); err != nil || len(got) != 2 || len(got[0].Request) != 0 || string(got[0].Plan) != "plan" {
		t.Errorf("a listing holds %+v, %v", got, err)
	}
	// What does not fit any more, and all that is older, is left out.
	if got := runIDs(s.RunsOf(ctx, "o", 1000)); !slices.Equal(got, []string{"2"}) {
		t.Errorf("runs that fit: %v", got)
	}
	if got := runIDs(s.Runs(ctx, 2*1000)); !slices.Equal(got, []string{"3", "2"}) {
		t.Errorf("of all runs, those that fit: %v", got)
	}
	if got, err := s.CountRuns(ctx, "s"); err != nil || got != 1 {
		t.Errorf("%d runs of s, %v", got, err)
	}
	if got := runIDs(s.UnfinishedRuns(ctx)); !slices.Equal(got, []string{"2", "3"}) {
		t.Errorf("unfinished: %v", got)
	}
}

func TestTheLedgersMarkNeverMovesBack(t *testing.T) {
	mark := openStore(t, t.TempDir()).LedgerMark()
	if err := mark.Acknowledge(5, 500, []byte{5}); err != nil {
		t.Fatal(err)
	}
	for _, back := range [][2]int64{{4, 600}, {6, 400}} {
		if err := mark.Acknowledge(back[0], back[1], []byte{6}); err == nil {
			t.Errorf("moved to %v", back)
		}
	}
	if records, bytes, chain, err := mark.Acknowledged(); records != 5 || bytes != 500 || chain[0] != 5 || err != nil {
		t.Error(records, bytes, chain, err)
	}
}
