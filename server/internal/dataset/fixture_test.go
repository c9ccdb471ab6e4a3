package dataset

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/permission"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// site is a data directory with what opens on it.
type site struct {
	dir       string
	store     *storage.Store
	ledger    *ledger.Ledger
	catalogue *Catalogue
	real      bool // no development mode
}

func rolesOf(user string) permission.Roles {
	if user == "operator" {
		return permission.Operator
	}
	return permission.OfDevelopment
}

func openSite(t *testing.T, dir string) *site {
	t.Helper()
	store, err := storage.Open(t.Context(), dir, storage.File)
	if err != nil {
		t.Fatal(err)
	}
	books, err := ledger.Open(dir, store.LedgerMark(), ledger.Writer{Key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))})
	if err != nil {
		t.Fatal(err)
	}
	limits := DefaultLimits(1 << 20)
	limits.RecordBytes, limits.BatchBytes = 64<<10, 256<<10
	s := &site{dir: dir, store: store, ledger: books}
	s.catalogue, err = New(t.Context(), Config{
		Store: store, Ledger: books, Limits: limits, Now: func() time.Time { return time.UnixMilli(1000) },
		Roles: rolesOf, Development: func() bool { return !s.real },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

func (s *site) close() {
	s.ledger.Close()
	s.store.Close()
}

func spec(name string, dtype bastionlabv1.DType, shape ...int64) *bastionlabv1.TensorSpec {
	return &bastionlabv1.TensorSpec{Name: name, Dtype: dtype, Shape: shape}
}

// smsSchema is two inputs by name, of different widths, and a label.
func smsSchema() *bastionlabv1.Schema {
	return &bastionlabv1.Schema{
		Inputs:      []*bastionlabv1.TensorSpec{spec("ids", bastionlabv1.DType_DTYPE_I32, 2), spec("mask", bastionlabv1.DType_DTYPE_BOOL, 1, 3)},
		Label:       spec("label", bastionlabv1.DType_DTYPE_U8),
		NamedInputs: true,
	}
}

func smsHeader(records int64) *bastionlabv1.UploadDatasetHeader {
	return &bastionlabv1.UploadDatasetHeader{
		Name: "SMS", Description: "messages\nand labels", Schema: smsSchema(), Records: records, PrivacyLimit: proto.Float64(6),
		Public: &bastionlabv1.PublicFacts{Classes: 2, Ranges: []*bastionlabv1.PublicRange{{Tensor: "ids", Low: 0, High: 30522}}},
	}
}

// record is what record number i of the tests looks like where it lies: ids, mask, label.
func record(i int) []byte {
	laid := binary.LittleEndian.AppendUint32(nil, uint32(1000+i))
	laid = binary.LittleEndian.AppendUint32(laid, uint32(2000+i))
	return append(laid, byte(i&1), byte(i>>1&1), 1, byte(i))
}

const recordSize = 12

// tensors are records first to last as a client lays them out: each tensor the same field of all.
func tensors(first, last int) []safetensors.Tensor {
	var ids, mask, labels []byte
	for i := first; i < last; i++ {
		r := record(i)
		ids, mask, labels = append(ids, r[:8]...), append(mask, r[8:11]...), append(labels, r[11])
	}
	n := int64(last - first)
	return []safetensors.Tensor{ // not in the order of the record
		{Name: "label", DType: bastionlabv1.DType_DTYPE_U8, Shape: []int64{n}, Data: labels},
		{Name: "input.mask", DType: bastionlabv1.DType_DTYPE_BOOL, Shape: []int64{n, 1, 3}, Data: mask},
		{Name: "input.ids", DType: bastionlabv1.DType_DTYPE_I32, Shape: []int64{n, 2}, Data: ids},
	}
}

func batchOf(t testing.TB, count int64, tensors []safetensors.Tensor) *bastionlabv1.RecordBatch {
	t.Helper()
	var file bytes.Buffer
	if err := safetensors.Write(&file, tensors); err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(file.Bytes())
	return &bastionlabv1.RecordBatch{Count: count, Safetensors: file.Bytes(), Sha256: digest[:]}
}

func batch(t testing.TB, first, last int) *bastionlabv1.RecordBatch {
	t.Helper()
	return batchOf(t, int64(last-first), tensors(first, last))
}

func trailerOf(records int64, batches ...*bastionlabv1.RecordBatch) *bastionlabv1.UploadDatasetTrailer {
	digest := sha256.New()
	for _, b := range batches {
		digest.Write(b.GetSha256())
	}
	return &bastionlabv1.UploadDatasetTrailer{Records: records, Sha256: digest.Sum(nil)}
}

// upload uploads 10 records in batches of 4, 4 and 2.
func (s *site) upload(t testing.TB, owner string, header *bastionlabv1.UploadDatasetHeader) (*bastionlabv1.Dataset, error) {
	t.Helper()
	u, err := s.catalogue.Begin(t.Context(), owner, header)
	if err != nil {
		return nil, err
	}
	defer u.Abort()
	batches := []*bastionlabv1.RecordBatch{batch(t, 0, 4), batch(t, 4, 8), batch(t, 8, 10)}
	for _, b := range batches {
		if err := u.Add(t.Context(), b); err != nil {
			return nil, err
		}
	}
	answer, err := u.Finish(t.Context(), trailerOf(10, batches...))
	return answer.GetDataset(), err
}

func (s *site) mustUpload(t testing.TB, owner string, header *bastionlabv1.UploadDatasetHeader) *bastionlabv1.Dataset {
	t.Helper()
	d, err := s.upload(t, owner, header)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// traces are what uploads leave: files of blobs but those of digests, these, rows, and the ledger's length.
type traces struct {
	files, digests, rows int
	ledgerBytes          int64
}

func (s *site) traces(t testing.TB) (found traces) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(s.dir, "blobs"), func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil || entry.IsDir():
		case filepath.Base(filepath.Dir(path)) == digestKind:
			found.digests++
		default:
			found.files++
		}
		return err
	})
	rows, err2 := s.store.Datasets(t.Context())
	_, length, _, err3 := s.store.LedgerMark().Acknowledged()
	if err := errors.Join(err, err2, err3); err != nil {
		t.Fatal(err)
	}
	found.rows, found.ledgerBytes = len(rows), length
	return found
}

func wantRefusal(t testing.TB, err error, kind refusal.Kind, words ...string) {
	t.Helper()
	var refused *refusal.Error
	if !errors.As(err, &refused) || refused.Kind != kind {
		t.Fatalf("got %v, want a refusal of kind %d", err, kind)
	}
	if refused.Next == "" {
		t.Errorf("%q does not say what to do", refused.What)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
}

// reserve charges a run at a price that no counting filter admits.
func (s *site) reserve(dataset, run string, eps accounting.Epsilon, delta accounting.Delta) error {
	account, err := s.ledger.Account(dataset)
	if err != nil {
		return err
	}
	cost := accounting.Cost{Epsilon: eps, Delta: delta, Renyi: slices.Repeat([]accounting.Renyi{accounting.MaxRenyi}, len(account.Orders))}
	return s.ledger.Reserve(dataset, run, "scientist", ledger.Price{Cost: cost, Orders: account.Orders})
}
