package dataset

import (
	"math"
	"testing"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

func TestTheListIsNewestFirstWithTestSetsUnderTheirTrainingSets(t *testing.T) {
	dir := t.TempDir()
	s := openSite(t, dir)
	first := s.mustUpload(t, "alice", smsHeader(10))
	testHeader := smsHeader(10)
	testHeader.TestOf = first.GetId()
	test := s.mustUpload(t, "alice", testHeader)
	second := s.mustUpload(t, "bob", smsHeader(10))
	s.close()
	s = openSite(t, dir)
	list, err := s.catalogue.List(t.Context(), "bob")
	if err != nil || len(list) != 2 || list[0].GetId() != second.GetId() || list[1].GetId() != first.GetId() {
		t.Fatalf("%v, %v", list, err)
	}
	if list[1].GetTestId() != test.GetId() || list[0].GetTestId() != "" || !list[0].GetMine() || list[1].GetMine() {
		t.Errorf("%v", list)
	}
	got, err := s.catalogue.Get(t.Context(), "alice", first.GetId())
	if err != nil || got.GetTestId() != test.GetId() || !got.GetMine() {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := s.catalogue.Get(t.Context(), "alice", test.GetId()); err != nil || got.GetTestId() != "" {
		t.Errorf("%v, %v", got, err)
	}
	_, err = s.catalogue.Get(t.Context(), "alice", "unknown")
	wantRefusal(t, err, refusal.NotFound, "no such dataset")
	_, err = s.catalogue.OpenRecords(t.Context(), "unknown")
	wantRefusal(t, err, refusal.NotFound, "no such dataset")
}

func TestAnEmptyCatalogueIsAnEmptyList(t *testing.T) {
	list, err := openSite(t, t.TempDir()).catalogue.List(t.Context(), "bob")
	if err != nil || list == nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}

func TestDeletingTakesTheDataAndLeavesTheHistory(t *testing.T) {
	s := openSite(t, t.TempDir())
	before := s.traces(t)
	d := s.mustUpload(t, "alice", smsHeader(10))
	testHeader := smsHeader(10)
	testHeader.TestOf = d.GetId()
	s.mustUpload(t, "alice", testHeader)
	if err := s.reserve(d.GetId(), "run", 2e9, 1); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, s.catalogue.Delete(t.Context(), "bob", d.GetId()), refusal.PermissionDenied, "only the dataset's owner")
	wantRefusal(t, s.catalogue.Delete(t.Context(), "alice", "unknown"), refusal.NotFound)
	if err := s.catalogue.Delete(t.Context(), "alice", d.GetId()); err != nil {
		t.Fatal(err)
	}
	if after := s.traces(t); after.files != before.files || after.rows != before.rows || after.digests != 2 {
		t.Errorf("left %+v, before %+v", after, before)
	}
	for _, call := range []func() error{
		func() error { _, err := s.catalogue.Get(t.Context(), "alice", d.GetId()); return err },
		func() error { _, err := s.catalogue.OpenRecords(t.Context(), d.GetId()); return err },
		func() error { _, err := s.catalogue.LowerLimit(t.Context(), "alice", d.GetId(), 1, ""); return err },
		func() error { return s.catalogue.Delete(t.Context(), "alice", d.GetId()) },
		func() error { _, err := s.catalogue.Budget(t.Context(), "bob", d.GetId()); return err },
	} {
		wantRefusal(t, call(), refusal.NotFound)
	}
	if budget, err := s.catalogue.Budget(t.Context(), "alice", d.GetId()); err != nil || budget.GetSpentNano() != 2e9 {
		t.Errorf("its owner's view of the account: %v, %v", budget, err)
	}
	if account, err := s.ledger.Account(d.GetId()); err != nil || account.Spent != 2e9 {
		t.Errorf("account %+v, %v", account, err)
	}
}

func TestTheBudgetSaysWhatWasSpentOnWhat(t *testing.T) {
	s := openSite(t, t.TempDir())
	d := s.mustUpload(t, "alice", smsHeader(10))
	id := d.GetId()
	for _, step := range []func() error{
		func() error { return s.reserve(id, "done", 2e9, 10) },
		func() error { return s.ledger.DataGiven(id, "done") },
		func() error { return s.ledger.Settle(id, "done", ledger.OutcomeCompleted) },
		func() error { return s.reserve(id, "back", 3e9, 10) },
		func() error { return s.ledger.Release(id, "back") },
		func() error { return s.reserve(id, "now", 1e9, 10) },
		func() error { return s.ledger.DataGiven(id, "now") },
		func() error { return s.reserve(id, "next", 1, 10) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	budget, err := s.catalogue.Budget(t.Context(), "bob", id)
	if err != nil {
		t.Fatal(err)
	}
	if budget.GetLimitNano() != 6e9 || budget.GetSpentNano() != 3e9+1 || budget.GetRemainingNano() != 3e9-1 || budget.GetSpentInfinite() || budget.GetDeltaAtto() != 1e16 {
		t.Errorf("%v", budget)
	}
	want := []*bastionlabv1.BudgetEntry{
		{RunId: "done", EpsilonNano: 2e9, Status: "completed"}, {RunId: "back", EpsilonNano: 0, Status: "released"},
		{RunId: "now", EpsilonNano: 1e9, Status: "running"}, {RunId: "next", EpsilonNano: 1, Status: "queued"},
	}
	for i, entry := range budget.GetRuns() {
		if entry.GetRunId() != want[i].GetRunId() || entry.GetEpsilonNano() != want[i].GetEpsilonNano() || entry.GetStatus() != want[i].GetStatus() || entry.GetCreatedUnixMs() == 0 {
			t.Errorf("run %d: %v, want %v", i, entry, want[i])
		}
	}
	_, err = s.catalogue.Budget(t.Context(), "bob", "unknown")
	wantRefusal(t, err, refusal.NotFound)
}

func TestOnlyTheOwnerLowersALimitAndNobodyRaisesIt(t *testing.T) {
	s := openSite(t, t.TempDir())
	id := s.mustUpload(t, "alice", smsHeader(10)).GetId()
	_, err := s.catalogue.LowerLimit(t.Context(), "bob", id, 1, "")
	wantRefusal(t, err, refusal.PermissionDenied, "only the dataset's owner")
	for _, limit := range []float64{math.NaN(), math.Inf(1), 0, -1, 7} {
		_, err := s.catalogue.LowerLimit(t.Context(), "alice", id, limit, "")
		wantRefusal(t, err, refusal.InvalidArgument)
	}
	budget, err := s.catalogue.LowerLimit(t.Context(), "alice", id, 3, "")
	if err != nil || budget.GetLimitNano() != 3e9 {
		t.Errorf("%v, %v", budget, err)
	}
	if d, err := s.catalogue.Get(t.Context(), "bob", id); err != nil || d.GetPrivacyLimitNano() != 3e9 {
		t.Errorf("%v, %v", d, err)
	}
}
