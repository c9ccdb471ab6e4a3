package dataset

import (
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

func described(header *bastionlabv1.UploadDatasetHeader) *bastionlabv1.UploadDatasetHeader {
	header.Description = strings.Repeat("d", 10_000)
	return header
}

// A listing is one message. What others upload must not keep it from being sent; the user's own are in it whatever others do.
func TestAListingThatIsFullLeavesOutTheOldestOfOthers(t *testing.T) {
	s := openSite(t, t.TempDir())
	s.catalogue.limits.ListingBytes = 35_000 // three of them
	mine := s.mustUpload(t, "alice", described(smsHeader(10))).GetId()
	var theirs []string
	for range 4 {
		theirs = append(theirs, s.mustUpload(t, "bob", described(smsHeader(10))).GetId())
	}
	list, err := s.catalogue.List(t.Context(), "alice")
	if err != nil || len(list) != 3 || list[0].GetId() != theirs[3] || list[1].GetId() != theirs[2] || list[2].GetId() != mine {
		t.Errorf("%d are listed, %v", len(list), err)
	}
	if d, err := s.catalogue.Get(t.Context(), "alice", theirs[0]); err != nil || d.GetId() != theirs[0] {
		t.Errorf("one that is left out: %v, %v", d, err)
	}
}

func TestAnOwnerMayHaveSoManyDatasets(t *testing.T) {
	s := openSite(t, t.TempDir())
	s.catalogue.limits.OwnerDatasets = 2
	begin := func(owner string) *Upload {
		t.Helper()
		u, err := s.catalogue.Begin(t.Context(), owner, smsHeader(1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(u.Abort)
		return u
	}
	finish := func(u *Upload) error {
		b := batch(t, 0, 1)
		if err := u.Add(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		_, err := u.Finish(t.Context(), trailerOf(1, b))
		return err
	}
	// Three begin while there is room. It is judged again at the end.
	one, two, three := begin("alice"), begin("alice"), begin("alice")
	if err := finish(one); err != nil {
		t.Fatal(err)
	}
	if err := finish(two); err != nil {
		t.Fatal(err)
	}
	before := s.traces(t)
	wantRefusal(t, finish(three), refusal.InvalidArgument, "2 datasets", "delete one")
	if after := s.traces(t); after.rows != before.rows {
		t.Errorf("left %+v, before %+v", after, before)
	}
	_, err := s.catalogue.Begin(t.Context(), "alice", smsHeader(1))
	wantRefusal(t, err, refusal.InvalidArgument, "2 datasets", "delete one")
	if err := finish(begin("bob")); err != nil {
		t.Errorf("another owner: %v", err)
	}
}

func TestACardIsBounded(t *testing.T) {
	s := openSite(t, t.TempDir())
	s.catalogue.limits.CardBytes = 10_000
	s.mustUpload(t, "alice", smsHeader(10))
	_, err := s.upload(t, "alice", described(smsHeader(10)))
	wantRefusal(t, err, refusal.InvalidArgument, "at most 10000")
}

// The largest card that the other limits let through fits, or people would be told to shorten what is within every limit they know.
func TestTheLargestHeaderFitsOnACard(t *testing.T) {
	s := openSite(t, t.TempDir())
	limits := s.catalogue.limits
	header := smsHeader(1)
	header.Name, header.Description = strings.Repeat("n", limits.NameBytes), strings.Repeat("d", limits.DescriptionBytes)
	header.Schema = &bastionlabv1.Schema{Label: spec("label", bastionlabv1.DType_DTYPE_I64)}
	header.Public = &bastionlabv1.PublicFacts{Classes: 2, Ranges: []*bastionlabv1.PublicRange{{Tensor: LabelName, High: 1}}}
	for i := range limits.Inputs {
		name := strings.Repeat("t", limits.TensorNameBytes-2) + string(rune('a'+i/26)) + string(rune('a'+i%26))
		header.Schema.Inputs = append(header.Schema.Inputs, spec(name, bastionlabv1.DType_DTYPE_U8, 1, 1, 1, 1, 1, 1, 1, 1))
		header.Public.Ranges = append(header.Public.Ranges, &bastionlabv1.PublicRange{Tensor: name, Low: 1, High: 2})
	}
	terms, err := s.catalogue.checkHeader(t.Context(), "alice", header)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.catalogue.cardOf(&Upload{catalogue: s.catalogue, id: storage.NewID(), owner: strings.Repeat("0", 64), terms: terms}); err != nil {
		t.Error(err)
	}
}

// Earlier releases kept what they did not know of a header. It is not sent on.
func TestWhatAnEarlierReleaseKeptOfAHeaderIsNotListed(t *testing.T) {
	s := openSite(t, t.TempDir())
	s.mustUpload(t, "alice", smsHeader(10))
	rows, err := s.store.Datasets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	row := rows[0]
	if err := s.store.DeleteDataset(t.Context(), row.ID); err != nil {
		t.Fatal(err)
	}
	row.Card = protowire.AppendBytes(protowire.AppendTag(row.Card, 1000, protowire.BytesType), make([]byte, 17<<20))
	if err := s.store.InsertDataset(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	list, err := s.catalogue.List(t.Context(), "bob")
	if err != nil || len(list) != 1 || len(list[0].ProtoReflect().GetUnknown()) != 0 {
		t.Errorf("%d listed, %v", len(list), err)
	}
}

func TestABudgetTellsOfTheNewestRuns(t *testing.T) {
	account := ledger.Account{Limit: 1, Delta: 1, Spent: maxListedEntries + 1}
	for i := range maxListedEntries + 1 {
		account.Entries = append(account.Entries, ledger.Entry{
			Run: storage.NewID(), Price: ledger.Price{Cost: accounting.Cost{Epsilon: 1, Delta: math.MaxInt64}}, ReservedUnixMS: int64(i) + 1<<41,
		})
	}
	budget := budgetOf(account, "d", "bob")
	if runs := budget.GetRuns(); len(runs) != maxListedEntries || runs[0].GetRunId() != account.Entries[1].Run || budget.GetSpentNano() != maxListedEntries+1 {
		t.Errorf("%d runs, spent %d", len(runs), budget.GetSpentNano())
	}
	if size := proto.Size(budget); size > 15<<20 {
		t.Errorf("it takes %d bytes", size)
	}
}
