package dataset

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

func TestAnUploadedDatasetIsListedAndItsRecordsLieOneAfterTheOther(t *testing.T) {
	s := openSite(t, t.TempDir())
	got := s.mustUpload(t, "alice", smsHeader(10))
	want := &bastionlabv1.Dataset{
		Id: got.GetId(), Name: "SMS", Description: "messages\nand labels", Schema: smsSchema(), DeclaredSamples: 10, PrivacyLimitNano: proto.Int64(6e9),
		DeltaAtto: 1e16, Public: smsHeader(10).GetPublic(), Owner: "alice", CreatedUnixMs: 1000, Mine: true, Account: got.GetId(),
		Permissions: &bastionlabv1.Permissions{Grants: []*bastionlabv1.Grant{{Train: true, Test: true, TakeHome: true}}},
		May:         &bastionlabv1.Grant{User: "alice", Train: true, Test: true, TakeHome: true},
	}
	if !proto.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if len(got.GetId()) != 32 {
		t.Errorf("identifier %q", got.GetId())
	}
	records, err := s.catalogue.OpenRecords(t.Context(), got.GetId())
	if err != nil {
		t.Fatal(err)
	}
	defer records.File.Close()
	var laid []byte
	for i := range 10 {
		laid = append(laid, record(i)...)
	}
	content, err := io.ReadAll(records.File)
	if err != nil || !bytes.Equal(content, laid) {
		t.Errorf("records lie as\n%v, want\n%v (%v)", content, laid, err)
	}
	if records.Count != 10 || records.RecordBytes != recordSize {
		t.Errorf("%d records of %d bytes", records.Count, records.RecordBytes)
	}
	if _, err := records.File.WriteAt([]byte{1}, 0); err == nil {
		t.Error("the records can be written to")
	}
	newest, err := s.ledger.NewestReceipt(got.GetId())
	if err != nil {
		t.Fatal(err)
	}
	opened, err := receipt.Decode(newest.Body)
	digest := sha256.Sum256(laid)
	if err != nil || opened.Type != receipt.Open || opened.Owner != "alice" || opened.Limit != 6e9 || opened.Delta != 1e16 || opened.Declared != 10 ||
		opened.Blob == hex.EncodeToString(digest[:]) || len(opened.Blob) != 64 || len(opened.Rows) != 64 {
		t.Errorf("receipt %+v, %v", opened, err)
	}
}

func TestBatchesLargerThanWhatIsWrittenAtOnce(t *testing.T) {
	s := openSite(t, t.TempDir())
	header := &bastionlabv1.UploadDatasetHeader{Records: 20, Schema: &bastionlabv1.Schema{
		Inputs: []*bastionlabv1.TensorSpec{spec("0", bastionlabv1.DType_DTYPE_U8, 12_345)}, Label: spec("", bastionlabv1.DType_DTYPE_F32),
	}}
	u, err := s.catalogue.Begin(t.Context(), "alice", header)
	if err != nil {
		t.Fatal(err)
	}
	input, label := make([]byte, 20*12_345), make([]byte, 20*4)
	var want []byte
	for i := range 20 {
		for j := range 12_345 {
			input[i*12_345+j] = byte(i * j)
		}
		label[i*4] = byte(i)
		want = append(append(want, input[i*12_345:(i+1)*12_345]...), label[i*4:(i+1)*4]...)
	}
	b := batchOf(t, 20, []safetensors.Tensor{
		{Name: "input.0", DType: bastionlabv1.DType_DTYPE_U8, Shape: []int64{20, 12_345}, Data: input},
		{Name: "label", DType: bastionlabv1.DType_DTYPE_F32, Shape: []int64{20}, Data: label},
	})
	if err := u.Add(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	d, err := u.Finish(t.Context(), trailerOf(20, b))
	if err != nil {
		t.Fatal(err)
	}
	records, err := s.catalogue.OpenRecords(t.Context(), d.GetDataset().GetId())
	if err != nil {
		t.Fatal(err)
	}
	defer records.File.Close()
	if content, err := io.ReadAll(records.File); err != nil || !bytes.Equal(content, want) {
		t.Errorf("%d bytes, %v", len(content), err)
	}
}

// Everything that can be wrong with what comes after the header: refused with the batch and what to do, without a value, and nothing is left.
func TestAWrongUploadIsRefusedAndLeavesNothing(t *testing.T) {
	u8, i32, boolean := bastionlabv1.DType_DTYPE_U8, bastionlabv1.DType_DTYPE_I32, bastionlabv1.DType_DTYPE_BOOL
	altered := func(alter func(ts []safetensors.Tensor) []safetensors.Tensor) func(*testing.T) []*bastionlabv1.RecordBatch {
		return func(t *testing.T) []*bastionlabv1.RecordBatch {
			return []*bastionlabv1.RecordBatch{batch(t, 0, 4), batchOf(t, 6, alter(tensors(4, 10)))}
		}
	}
	good := func(t *testing.T) []*bastionlabv1.RecordBatch {
		return []*bastionlabv1.RecordBatch{batch(t, 0, 4), batch(t, 4, 10)}
	}
	cases := map[string]struct {
		batches func(*testing.T) []*bastionlabv1.RecordBatch
		trailer func(*bastionlabv1.UploadDatasetTrailer)
		words   []string
	}{
		"no batches": {func(*testing.T) []*bastionlabv1.RecordBatch { return nil }, nil, []string{"promised 10 records, 0 came"}},
		"a batch short": {func(t *testing.T) []*bastionlabv1.RecordBatch { return []*bastionlabv1.RecordBatch{batch(t, 0, 4)} },
			nil, []string{"promised 10 records, 4 came after 1 batches"}},
		"a record too many": {func(t *testing.T) []*bastionlabv1.RecordBatch {
			return []*bastionlabv1.RecordBatch{batch(t, 0, 4), batch(t, 4, 11)}
		}, nil, []string{"batch 2", "more records than the 10"}},
		"an empty batch": {func(t *testing.T) []*bastionlabv1.RecordBatch {
			return []*bastionlabv1.RecordBatch{batch(t, 0, 4), batch(t, 4, 4)}
		}, nil, []string{"batch 2 is empty"}},
		"a negative count": {func(t *testing.T) []*bastionlabv1.RecordBatch {
			b := batch(t, 0, 4)
			b.Count = -4
			return []*bastionlabv1.RecordBatch{b}
		}, nil, []string{"batch 1 is empty"}},
		"no batch at all": {func(*testing.T) []*bastionlabv1.RecordBatch { return []*bastionlabv1.RecordBatch{nil} }, nil, []string{"batch 1 is empty"}},
		"a damaged batch": {func(t *testing.T) []*bastionlabv1.RecordBatch {
			bs := good(t)
			bs[1].Safetensors[len(bs[1].Safetensors)-1] ^= 1
			return bs
		}, nil, []string{"batch 2", "digest"}},
		"a batch without digest": {func(t *testing.T) []*bastionlabv1.RecordBatch {
			bs := good(t)
			bs[0].Sha256 = nil
			return bs
		}, nil, []string{"batch 1", "digest"}},
		"a batch too large": {func(t *testing.T) []*bastionlabv1.RecordBatch {
			file := make([]byte, 256<<10+1)
			digest := sha256.Sum256(file)
			return []*bastionlabv1.RecordBatch{{Count: 1, Safetensors: file, Sha256: digest[:]}}
		}, nil, []string{"batch 1", "larger than 262144 bytes", "smaller batches"}},
		"no safetensors": {func(t *testing.T) []*bastionlabv1.RecordBatch {
			digest := sha256.Sum256([]byte("PK"))
			return []*bastionlabv1.RecordBatch{{Count: 1, Safetensors: []byte("PK"), Sha256: digest[:]}}
		}, nil, []string{"batch 1", "safetensors"}},
		"count and tensors differ": {func(t *testing.T) []*bastionlabv1.RecordBatch {
			return []*bastionlabv1.RecordBatch{batchOf(t, 3, tensors(0, 4))}
		}, nil, []string{"batch 1", "does not hold the 3 records"}},
		"one tensor shorter": {altered(func(ts []safetensors.Tensor) []safetensors.Tensor {
			ts[0] = safetensors.Tensor{Name: "label", DType: u8, Shape: []int64{5}, Data: make([]byte, 5)}
			return ts
		}), nil, []string{"batch 2", `"label"`, "6 records"}},
		"another dtype": {altered(func(ts []safetensors.Tensor) []safetensors.Tensor {
			ts[0].DType = boolean
			return ts
		}), nil, []string{"batch 2", `"label"`, "dtype U8"}},
		"another shape": {altered(func(ts []safetensors.Tensor) []safetensors.Tensor {
			ts[1].Shape = []int64{6, 3, 1}
			return ts
		}), nil, []string{"batch 2", `"input.mask"`, "shape [1 3]"}},
		"another rank": {altered(func(ts []safetensors.Tensor) []safetensors.Tensor {
			ts[1].Shape = []int64{6, 3}
			return ts
		}), nil, []string{"batch 2", `"input.mask"`, "shape [1 3]"}},
		"a scalar": {altered(func(ts []safetensors.Tensor) []safetensors.Tensor {
			ts[0] = safetensors.Tensor{Name: "label", DType: u8, Shape: nil, Data: []byte{1}}
			return ts
		}), nil, []string{"batch 2", `"label"`}},
		"an unknown name": {altered(func(ts []safetensors.Tensor) []safetensors.Tensor {
			ts[2].Name = "ids"
			return ts
		}), nil, []string{"batch 2", `no tensor "input.ids"`}},
		"a tensor missing": {altered(func(ts []safetensors.Tensor) []safetensors.Tensor { return ts[:2] }), nil, []string{"batch 2 has 2 tensors"}},
		"a tensor more": {altered(func(ts []safetensors.Tensor) []safetensors.Tensor {
			return append(ts, safetensors.Tensor{Name: "input.more", DType: i32, Shape: []int64{6}, Data: make([]byte, 24)})
		}), nil, []string{"batch 2 has 4 tensors"}},
		"trailer with another count":  {good, func(t *bastionlabv1.UploadDatasetTrailer) { t.Records = 9 }, []string{"trailer says 9"}},
		"trailer with another digest": {good, func(t *bastionlabv1.UploadDatasetTrailer) { t.Sha256[0] ^= 1 }, []string{"trailer's digest"}},
		"trailer without a digest":    {good, func(t *bastionlabv1.UploadDatasetTrailer) { t.Sha256 = nil }, []string{"trailer's digest"}},
	}
	s := openSite(t, t.TempDir())
	s.mustUpload(t, "alice", smsHeader(10))
	before := s.traces(t)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			u, err := s.catalogue.Begin(t.Context(), "alice", smsHeader(10))
			if err != nil {
				t.Fatal(err)
			}
			defer u.Abort()
			batches := c.batches(t)
			for _, b := range batches {
				if err = u.Add(t.Context(), b); err != nil {
					break
				}
			}
			if err == nil {
				trailer := trailerOf(10, batches...)
				if c.trailer != nil {
					c.trailer(trailer)
				}
				_, err = u.Finish(t.Context(), trailer)
			}
			wantRefusal(t, err, refusal.InvalidArgument, append(c.words, "spent: nothing")...)
			if after := s.traces(t); after != before {
				t.Errorf("before %+v, after %+v", before, after)
			}
			if err := u.Add(t.Context(), batch(t, 0, 1)); err == nil {
				t.Error("more was taken after the refusal")
			}
			if _, err := u.Finish(t.Context(), trailerOf(10)); err == nil {
				t.Error("finished after the refusal")
			}
		})
	}
}

func TestBatchesInAnotherOrderAreNoticed(t *testing.T) {
	s := openSite(t, t.TempDir())
	u, err := s.catalogue.Begin(t.Context(), "alice", smsHeader(10))
	if err != nil {
		t.Fatal(err)
	}
	defer u.Abort()
	first, second := batch(t, 0, 5), batch(t, 5, 10)
	for _, b := range []*bastionlabv1.RecordBatch{second, first} {
		if err := u.Add(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	_, err = u.Finish(t.Context(), trailerOf(10, first, second))
	wantRefusal(t, err, refusal.InvalidArgument, "lost, repeated or exchanged")
}

func TestAnUploadThatIsCutLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	s := openSite(t, dir)
	before := s.traces(t)
	u, err := s.catalogue.Begin(t.Context(), "alice", smsHeader(10))
	if err != nil {
		t.Fatal(err)
	}
	if err := u.Add(t.Context(), batch(t, 0, 4)); err != nil {
		t.Fatal(err)
	}
	u.Abort()
	u.Abort()
	if after := s.traces(t); after != before {
		t.Errorf("after an abort: %+v, before %+v", after, before)
	}
	gone, cancel := context.WithCancel(t.Context())
	if u, err = s.catalogue.Begin(gone, "alice", smsHeader(10)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := u.Add(gone, batch(t, 0, 4)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if after := s.traces(t); after != before {
		t.Errorf("after its caller left: %+v, before %+v", after, before)
	}
	// Killed between storing the records and making them visible.
	blob, err := s.store.CreateBlob(blobKind, storage.NewID())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := blob.Commit(); err != nil {
		t.Fatal(err)
	}
	kept := s.mustUpload(t, "alice", smsHeader(10))
	s.close()
	s = openSite(t, dir)
	if after := s.traces(t); after.files != 1 || after.rows != 1 {
		t.Errorf("after a restart: %+v", after)
	}
	if _, err := s.catalogue.OpenRecords(t.Context(), kept.GetId()); err != nil {
		t.Errorf("the whole dataset: %v", err)
	}
}

// failingBooks is a ledger whose disk is full.
type failingBooks struct{ books }

func (failingBooks) OpenAccount(ledger.Dataset) error {
	return refusal.New(refusal.Unavailable, "ask the operator", "the ledger cannot be written")
}

func TestADatasetWithoutAnAccountDoesNotBecomeVisible(t *testing.T) {
	dir := t.TempDir()
	s := openSite(t, dir)
	before := s.traces(t)
	s.catalogue.ledger = failingBooks{s.catalogue.ledger}
	_, err := s.upload(t, "alice", smsHeader(10))
	wantRefusal(t, err, refusal.Unavailable, "ledger")
	// Whether a ledger that fails has the account is known at the next start only: until then its digests stay.
	if after := s.traces(t); after != (traces{digests: 1, ledgerBytes: before.ledgerBytes}) {
		t.Errorf("before %+v, after %+v", before, after)
	}
	s.close()
	if after := openSite(t, dir).traces(t); after != before {
		t.Errorf("before %+v, after a restart %+v", before, after)
	}
}

// lateBooks cancels the upload's context once the account is open.
type lateBooks struct {
	books
	cancel func()
}

func (b lateBooks) OpenAccount(d ledger.Dataset) error {
	defer b.cancel()
	return b.books.OpenAccount(d)
}

func TestACallerThatLeavesAtTheLastMomentLeavesADataset(t *testing.T) {
	s := openSite(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	s.catalogue.ledger = lateBooks{s.catalogue.ledger, cancel}
	u, err := s.catalogue.Begin(ctx, "alice", smsHeader(10))
	if err != nil {
		t.Fatal(err)
	}
	defer u.Abort()
	b := batch(t, 0, 10)
	if err := u.Add(ctx, b); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Finish(ctx, trailerOf(10, b)); err != nil {
		t.Fatal(err)
	}
	if found := s.traces(t); found.rows != 1 || found.files != 1 {
		t.Errorf("%+v", found)
	}
}

func TestNoRecordLiesInTheClearOrInAnError(t *testing.T) {
	marker := bytes.Repeat([]byte("MARKER-OF-A-ROW!"), 100)
	header := &bastionlabv1.UploadDatasetHeader{Records: 1, Schema: &bastionlabv1.Schema{
		Inputs: []*bastionlabv1.TensorSpec{spec("text", bastionlabv1.DType_DTYPE_U8, int64(len(marker)))}, Label: spec("", bastionlabv1.DType_DTYPE_U8),
	}}
	s := openSite(t, t.TempDir())
	u, err := s.catalogue.Begin(t.Context(), "alice", header)
	if err != nil {
		t.Fatal(err)
	}
	b := batchOf(t, 1, []safetensors.Tensor{
		{Name: "input.text", DType: bastionlabv1.DType_DTYPE_U8, Shape: []int64{1, int64(len(marker))}, Data: marker},
		{Name: "label", DType: bastionlabv1.DType_DTYPE_U8, Shape: []int64{1}, Data: []byte{1}},
	})
	if err := u.Add(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	d, err := u.Finish(t.Context(), trailerOf(1, b))
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(s.dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if bytes.Contains(content, marker[:16]) {
			t.Errorf("%s holds a row", entry.Name())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if encoded, err := proto.Marshal(d); err != nil || bytes.Contains(encoded, marker[:16]) {
		t.Errorf("the answer holds a row (%v)", err)
	}
	// A batch whose header holds rows where names should be.
	raw := []byte(`{"MARKER-OF-A-ROW!":{"dtype":"MARKER-OF-A-ROW!","shape":[1],"data_offsets":[0,1]}}`)
	file := append([]byte{byte(len(raw)), 0, 0, 0, 0, 0, 0, 0}, raw...)
	digest := sha256.Sum256(file)
	if u, err = s.catalogue.Begin(t.Context(), "alice", header); err != nil {
		t.Fatal(err)
	}
	err = u.Add(t.Context(), &bastionlabv1.RecordBatch{Count: 1, Safetensors: file, Sha256: digest[:]})
	if err == nil || strings.Contains(err.Error(), "MARKER") {
		t.Errorf("said %v", err)
	}
}

var _ books = (*ledger.Ledger)(nil)
