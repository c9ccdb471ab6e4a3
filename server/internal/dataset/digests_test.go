package dataset

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/lineage"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// digested are the digests of the tests' records first to last.
func (s *site) digested(t testing.TB, owner string, first, last int) lineage.Set {
	t.Helper()
	c, err := s.catalogue.newCollector(owner, smsSchema())
	if err != nil {
		t.Fatal(err)
	}
	for i := first; i < last; i++ {
		if err := c.add(record(i)); err != nil {
			t.Fatal(err)
		}
	}
	return c.set()
}

func (s *site) digestsOf(t testing.TB, id string) lineage.Set {
	t.Helper()
	rows, err := s.catalogue.digestsOf(id)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestAnUploadKeepsTheDigestsOfItsRecordsThroughDeletionAndRestart(t *testing.T) {
	dir := t.TempDir()
	s := openSite(t, dir)
	d := s.mustUpload(t, "alice", smsHeader(10))
	check := func(when string) {
		t.Helper()
		if got, want := s.digestsOf(t, d.GetId()), s.digested(t, "alice", 0, 10); want.Len() != 10 || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %d digests, want %d", when, got.Len(), want.Len())
		}
	}
	check("uploaded")
	if err := s.catalogue.Delete(t.Context(), "alice", d.GetId()); err != nil {
		t.Fatal(err)
	}
	check("deleted")
	s.close()
	s = openSite(t, dir)
	check("after a restart")
}

// PRIVACY: not even the same records say so across owners, or across servers.
func TestDigestsAreTheirOwnersAndTheirServersAlone(t *testing.T) {
	s := openSite(t, t.TempDir())
	rows := s.digested(t, "alice", 0, 10)
	for name, other := range map[string]lineage.Set{
		"bob":            s.digested(t, "bob", 0, 10),
		"no owner":       s.digested(t, "", 0, 10),
		"another server": openSite(t, t.TempDir()).digested(t, "alice", 0, 10),
	} {
		if shared := lineage.Common(rows, other).Len(); shared > 0 {
			t.Errorf("%s: %d digests are the same", name, shared)
		}
	}
}

// What a server leaves that is killed between storing digests and opening the account, or right after that.
func TestDigestsStayIfAndOnlyIfThereIsAnAccount(t *testing.T) {
	dir := t.TempDir()
	s := openSite(t, dir)
	for _, id := range []string{"unopened", "opened"} {
		if _, err := s.catalogue.keepDigests(id, s.digested(t, "alice", 0, 10)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.ledger.OpenAccount(ledger.Dataset{ID: "opened", Owner: "alice", Limit: 6e9, Delta: accounting.DefaultDelta(10), Declared: 10}); err != nil {
		t.Fatal(err)
	}
	s.close()
	s = openSite(t, dir)
	if _, err := s.catalogue.digestsOf("opened"); err != nil {
		t.Error(err)
	}
	_, err := s.catalogue.digestsOf("unopened")
	wantRefusal(t, err, refusal.Unavailable)
}

// PRIVACY: a history that cannot be read is no history of nothing.
func TestAnUploadIsNotComparedWithHalfAHistory(t *testing.T) {
	for name, harm := range map[string]func(path, other string) error{
		"missing": func(path, _ string) error { return os.Remove(path) },
		"cut":     func(path, _ string) error { return os.Truncate(path, 300) },
		"empty":   func(path, _ string) error { return os.Truncate(path, 0) },
		"another's": func(path, other string) error {
			content, err := os.ReadFile(other)
			if err != nil {
				return err
			}
			return os.WriteFile(path, content, 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := openSite(t, t.TempDir())
			first, second := s.mustUpload(t, "alice", smsHeader(10)), s.mustUpload(t, "alice", smsHeader(10))
			history := []ledger.Account{{ID: "a", Datasets: []string{first.GetId()}}, {ID: "b", Datasets: []string{second.GetId()}}}
			rows := s.digested(t, "alice", 0, 10)
			if _, _, err := s.catalogue.knownOf(t.Context(), rows, "", history); err != nil {
				t.Fatal(err)
			}
			path := func(id string) string { return filepath.Join(s.dir, "blobs", digestKind, id+".age") }
			if err := harm(path(second.GetId()), path(first.GetId())); err != nil {
				t.Fatal(err)
			}
			for _, testOf := range []string{"", first.GetId(), second.GetId()} {
				_, known, err := s.catalogue.knownOf(t.Context(), rows, testOf, history)
				wantRefusal(t, err, refusal.Unavailable, second.GetId(), "spent: nothing", "from a backup")
				if known != nil {
					t.Error("a part of the history was given")
				}
			}
		})
	}
}

func TestWhatAnUploadIsComparedWith(t *testing.T) {
	s := openSite(t, t.TempDir())
	keep := func(id string, first, last int) {
		t.Helper()
		if _, err := s.catalogue.keepDigests(id, s.digested(t, "alice", first, last)); err != nil {
			t.Fatal(err)
		}
	}
	keep("old", 0, 20)
	keep("new", 15, 30)
	keep("test", 30, 40)
	history := []ledger.Account{{ID: "a", Datasets: []string{"old", "new"}, Partners: []string{"b"}}, {ID: "b", Datasets: []string{"test"}}}
	rows := s.digested(t, "alice", 10, 35)
	shared := func(first, last int) lineage.Set { return s.digested(t, "alice", first, last) }
	for testOf, want := range map[string]struct {
		upload lineage.Upload
		known  []lineage.Known
	}{
		"": {lineage.Upload{Rows: 25}, []lineage.Known{{Account: "a", Partners: []string{"b"}, Rows: 30, Shared: shared(10, 30)}, {Account: "b", Rows: 10, Shared: shared(30, 35)}}},
		// As it was before the training set came, of which only what both sets share is told.
		"new": {lineage.Upload{Rows: 25, PairedWith: "a", WithTraining: shared(15, 30)},
			[]lineage.Known{{Account: "a", Partners: []string{"b"}, Rows: 20, Shared: shared(10, 20)}, {Account: "b", Rows: 10, Shared: shared(30, 35)}}},
	} {
		upload, known, err := s.catalogue.knownOf(t.Context(), rows, testOf, history)
		if err != nil || !reflect.DeepEqual(upload, want.upload) || !reflect.DeepEqual(known, want.known) {
			t.Errorf("test set of %q: %+v, %+v, %v", testOf, upload, known, err)
		}
	}
	if _, _, err := s.catalogue.knownOf(t.Context(), rows, "unknown", history); err == nil {
		t.Error("a training set without an account")
	}
}

func TestMoreRecordsThanAreComparedAreNotTaken(t *testing.T) {
	s := openSite(t, t.TempDir())
	s.catalogue.limits.Records = 10
	s.mustUpload(t, "alice", smsHeader(10))
	_, err := s.upload(t, "alice", smsHeader(11))
	wantRefusal(t, err, refusal.InvalidArgument, "11 records are more than the 10")
	for _, memory := range []int64{1, 1 << 30, 1 << 40} {
		if limits := DefaultLimits(memory); limits.Records*lineage.DigestBytes > max(memory/16, 16e6) || limits.Records < 1_000_000 {
			t.Errorf("%d bytes of memory: %d records", memory, limits.Records)
		}
	}
}

func TestMoreDigestsThanOnePartHolds(t *testing.T) {
	s := openSite(t, t.TempDir())
	for _, records := range []int{1, collectedAtOnce, collectedAtOnce + 1, 3*collectedAtOnce - 1} {
		c, err := s.catalogue.newCollector("alice", smsSchema())
		if err != nil {
			t.Fatal(err)
		}
		for i := range records {
			if err := c.add(record(i)); err != nil {
				t.Fatal(err)
			}
		}
		if got := c.set(); got.Len() != records || c.set().Len() != 0 {
			t.Errorf("%d digests of %d records", got.Len(), records)
		}
		if err := c.add(make([]byte, recordSize+1)); err == nil {
			t.Error("a record of another size was digested")
		}
	}
}
