package dataset

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

var errDisk = errors.New("the disk failed")

// A dataset that is visible keeps its records whatever fails afterwards; one that is not leaves none.
func TestTheRecordsStayIfAndOnlyIfTheDatasetIsThere(t *testing.T) {
	for name, test := range map[string]struct {
		insert func(s *site, row storage.DatasetRow) error
		made   bool
	}{
		"inserted":     {func(s *site, row storage.DatasetRow) error { return s.store.InsertDataset(context.Background(), row) }, true},
		"not inserted": {func(*site, storage.DatasetRow) error { return errDisk }, false},
		"inserted, and an error came after it": {func(s *site, row storage.DatasetRow) error {
			return errors.Join(s.store.InsertDataset(context.Background(), row), errDisk)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := openSite(t, t.TempDir())
			s.catalogue.insert = func(_ context.Context, row storage.DatasetRow) error { return test.insert(s, row) }
			d, err := s.upload(t, "alice", smsHeader(10))
			if (err == nil) != test.made {
				t.Fatalf("%v, %v", d, err)
			}
			found := s.traces(t)
			if !test.made {
				if found.files != 0 || found.rows != 0 || found.digests != 1 { // there is an account
					t.Errorf("left %+v", found)
				}
				return
			}
			if found.files != 1 || found.rows != 1 || found.digests != 1 {
				t.Errorf("there are %+v", found)
			}
			// What is answered is what is told from then on.
			if listed, err := s.catalogue.Get(t.Context(), "alice", d.GetId()); err != nil || !proto.Equal(listed, d) {
				t.Errorf("answered %v, told %v, %v", d, listed, err)
			}
		})
	}
}

func TestRecordsOfADatasetThatMayBeThereStay(t *testing.T) {
	dir := t.TempDir()
	s := openSite(t, dir)
	s.catalogue.insert = func(ctx context.Context, row storage.DatasetRow) error {
		return errors.Join(s.store.InsertDataset(ctx, row), s.store.Close(), errDisk)
	}
	if _, err := s.upload(t, "alice", smsHeader(10)); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	s.close()
	s = openSite(t, dir)
	list, err := s.catalogue.List(t.Context(), "alice")
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	records, err := s.catalogue.OpenRecords(t.Context(), list[0].GetId())
	if err != nil {
		t.Fatal(err)
	}
	records.File.Close()
}

// mutedBooks opens accounts and cannot be read.
type mutedBooks struct{ books }

func (mutedBooks) Account(string) (ledger.Account, error) { return ledger.Account{}, errDisk }

func TestTheAnswerToAnUploadNeedsNothingToBeRead(t *testing.T) {
	s := openSite(t, t.TempDir())
	s.catalogue.ledger = mutedBooks{s.catalogue.ledger}
	d, err := s.upload(t, "alice", smsHeader(10))
	if err != nil || d.GetPrivacyLimitNano() != 6e9 || !d.GetMine() {
		t.Errorf("%v, %v", d, err)
	}
}
