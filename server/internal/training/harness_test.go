package training

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/dataset"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/model"
	"github.com/bastionlab/bastionlab/server/internal/permission"
	"github.com/bastionlab/bastionlab/server/internal/program"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	owner     = "0000000000000000000000000000000000000000000000000000000000000001"
	scientist = "0000000000000000000000000000000000000000000000000000000000000002"
	stranger  = "0000000000000000000000000000000000000000000000000000000000000003"
	operator  = "operator"
	declared  = 64
)

// planted is in every record of the test's datasets and in everything that its trainers say.
const planted = "PLANTED!"

var schema = &bastionlabv1.Schema{
	Inputs: []*bastionlabv1.TensorSpec{{Name: "x", Dtype: bastionlabv1.DType_DTYPE_U8, Shape: []int64{8}}},
	Label:  &bastionlabv1.TensorSpec{Name: "label", Dtype: bastionlabv1.DType_DTYPE_I64, Shape: []int64{}},
}

var parameters = []*bastionlabv1.ParameterReport{
	{Name: "head.weight", Dtype: bastionlabv1.DType_DTYPE_F32, Shape: []int64{2, 3}, Trainable: true},
	{Name: "frozen", Dtype: bastionlabv1.DType_DTYPE_F32, Shape: []int64{5}},
	{Name: "head.bias", Dtype: bastionlabv1.DType_DTYPE_F32, Shape: []int64{2}, Trainable: true},
}

// trained is what an honest trainer puts out for them.
var trained = []safetensors.Tensor{
	{Name: "head.weight", DType: bastionlabv1.DType_DTYPE_F32, Shape: []int64{2, 3}, Data: bytes.Repeat([]byte{1}, 24)},
	{Name: "head.bias", DType: bastionlabv1.DType_DTYPE_F32, Shape: []int64{2}, Data: bytes.Repeat([]byte{2}, 8)},
}

func rolesOf(user string) permission.Roles {
	if user == operator {
		return permission.Operator
	}
	return permission.OfDevelopment
}

// world is a data directory with everything real but the trainer.
type world struct {
	t        *testing.T
	dir      string
	store    *storage.Store
	ledger   *ledger.Ledger
	datasets *dataset.Catalogue
	trainer  *fakeLauncher
	budget   Budget
	log      *logBuffer
	uploads  uint64
	*Service
	closeOnce func()
}

type logBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

// reserve charges a run that the service does not know.
func (w *world) reserve(dataset, run string) {
	w.t.Helper()
	account, err := w.ledger.Account(dataset)
	if err != nil {
		w.t.Fatal(err)
	}
	cost := accounting.Cost{Epsilon: 2e9, Delta: 1, Renyi: make([]accounting.Renyi, len(account.Orders))}
	if err := w.ledger.Reserve(dataset, run, scientist, ledger.Price{Cost: cost, Orders: account.Orders}); err != nil {
		w.t.Fatal(err)
	}
}

// open opens a world on a directory, as a server's start does, without recovering or serving yet.
func open(t *testing.T, dir string, around func(*ledger.Ledger) Budget) *world {
	t.Helper()
	w := &world{t: t, dir: dir, trainer: &fakeLauncher{}, log: &logBuffer{}}
	var err error
	if w.store, err = storage.Open(t.Context(), dir, storage.File); err != nil {
		t.Fatal(err)
	}
	if w.ledger, err = ledger.Open(dir, w.store.LedgerMark(), ledger.Writer{Key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}); err != nil {
		t.Fatal(err)
	}
	w.closeOnce = sync.OnceFunc(func() {
		if err := errors.Join(w.ledger.Close(), w.store.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(w.closeOnce)
	if w.datasets, err = dataset.New(t.Context(), dataset.Config{
		Store: w.store, Ledger: w.ledger, Limits: dataset.DefaultLimits(1 << 20), Roles: rolesOf, Development: func() bool { return true },
	}); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewJSONHandler(w.log, nil))
	models, err := model.New(model.Config{Store: w.store, Intake: noIntake{}, Datasets: w.datasets, Log: log, Limits: program.DefaultArchiveLimits(), MaxIntakes: 1})
	if err != nil {
		t.Fatal(err)
	}
	w.budget = w.ledger
	if around != nil {
		w.budget = around(w.ledger)
	}
	w.Service, err = New(Config{
		Store: w.store, Budget: w.budget, Launcher: w.trainer, Datasets: w.datasets, Models: models, Log: log, Roles: rolesOf,
		Threads: 1, Concurrent: 1, MaxQueued: 20, ProgressInterval: time.Nanosecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// serve starts the queue; the returned function stops it as a server's stop does, and waits.
func (w *world) serve() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Serve(ctx)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	w.t.Cleanup(stop)
	return stop
}

func newWorld(t *testing.T) *world {
	w := open(t, t.TempDir(), nil)
	w.serve()
	return w
}

type noIntake struct{}

func (noIntake) Intake(context.Context, *trainerv1.Intake, *os.File, *os.File) (*trainerv1.IntakeDone, error) {
	return nil, errors.New("no intake here")
}

// upload makes a dataset of as many records as it declares, which no other one has; limit 0 means none.
func (w *world) upload(limit float64) string {
	w.t.Helper()
	header := &bastionlabv1.UploadDatasetHeader{Name: "d", Schema: schema, Records: declared}
	if limit > 0 {
		header.PrivacyLimit = &limit
	}
	upload, err := w.datasets.Begin(w.t.Context(), owner, header)
	if err != nil {
		w.t.Fatal(err)
	}
	w.uploads++
	label := binary.LittleEndian.AppendUint64(nil, w.uploads)
	var file bytes.Buffer
	err = safetensors.Write(&file, []safetensors.Tensor{
		{Name: dataset.InputPrefix + "x", DType: bastionlabv1.DType_DTYPE_U8, Shape: []int64{declared, 8}, Data: []byte(strings.Repeat(planted, declared))},
		{Name: dataset.LabelName, DType: bastionlabv1.DType_DTYPE_I64, Shape: []int64{declared}, Data: bytes.Repeat(label, declared)},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	digest := sha256.Sum256(file.Bytes())
	if err := upload.Add(w.t.Context(), &bastionlabv1.RecordBatch{Count: declared, Safetensors: file.Bytes(), Sha256: digest[:]}); err != nil {
		w.t.Fatal(err)
	}
	all := sha256.Sum256(digest[:])
	made, err := upload.Finish(w.t.Context(), &bastionlabv1.UploadDatasetTrailer{Records: declared, Sha256: all[:]})
	if err != nil {
		w.t.Fatal(err)
	}
	return made.GetDataset().GetId()
}

// insertModel makes a model known as if the intake had accepted it.
func (w *world) insertModel(author, onDataset string, uses ...*bastionlabv1.OperatorUse) string {
	w.t.Helper()
	id := storage.NewID()
	blob, err := w.store.CreateBlob("model", id)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := blob.Write([]byte("a program")); err != nil {
		w.t.Fatal(err)
	}
	digest, size, err := blob.Commit()
	if err != nil {
		w.t.Fatal(err)
	}
	encode := func(message proto.Message) []byte {
		encoded, err := proto.Marshal(message)
		if err != nil {
			w.t.Fatal(err)
		}
		return encoded
	}
	err = w.store.InsertModel(w.t.Context(), storage.ModelRow{
		ID: id, Owner: author, DatasetID: onDataset, Loss: "cross_entropy", CreatedUnixMS: 1, BlobSHA256: digest, BlobBytes: size,
		Program: encode(&trainerv1.Program{PayloadSha256: digest, PayloadBytes: size, Schema: schema, Loss: "cross_entropy"}),
		Report: encode(&bastionlabv1.CapabilityReport{
			Operators: uses, Parameters: parameters, ProgramSha256: digest,
			Outputs: []*bastionlabv1.TensorSpec{{Name: "output", Shape: []int64{1, 4}}},
		}),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// request asks for 2 epochs of 8 steps.
func request(modelID, datasetID string, eps float64) *bastionlabv1.TrainingRequest {
	r := &bastionlabv1.TrainingRequest{
		ModelId: modelID, DatasetId: datasetID, NbEpochs: 2, BatchSize: proto.Int64(8), MaxBatchSize: 4, MaxGradNorm: 1, Device: "cpu",
		Optimizer: &bastionlabv1.Optimizer{Kind: &bastionlabv1.Optimizer_Sgd{Sgd: &bastionlabv1.SGD{Lr: 0.1}}},
	}
	if eps != 0 {
		r.Epsilon = &eps
	}
	return r
}

func (w *world) start(user string, r *bastionlabv1.TrainingRequest) *bastionlabv1.Run {
	w.t.Helper()
	run, err := w.Start(w.t.Context(), user, &bastionlabv1.StartTrainingRequest{Request: r})
	if err != nil {
		w.t.Fatal(err)
	}
	return run
}

// wait watches a run to its end.
func (w *world) wait(id string) *bastionlabv1.Run {
	w.t.Helper()
	last := w.rest(id)
	if last.GetEndedUnixMs() == 0 {
		w.t.Fatalf("it has not ended: %v", last)
	}
	return last
}

// waitForOwner watches a run until it waits for the owner of its dataset.
func (w *world) waitForOwner(id string) *bastionlabv1.Run {
	w.t.Helper()
	last := w.rest(id)
	if last.GetStatus() != waiting {
		w.t.Fatalf("it does not wait: %v", last)
	}
	return last
}

// rest watches a run until it has ended or waits for the owner.
func (w *world) rest(id string) (last *bastionlabv1.Run) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	stop := errors.New("it waits")
	err := w.Watch(ctx, scientist, id, func(run *bastionlabv1.Run) error {
		if last = run; run.GetStatus() == waiting {
			return stop
		}
		return nil
	})
	if err != nil && !errors.Is(err, stop) {
		w.t.Fatalf("watch: %v (last seen %v)", err, last)
	}
	return last
}

func (w *world) expectSpent(id string, want float64) {
	w.t.Helper()
	account, err := w.ledger.Account(id)
	if err != nil {
		w.t.Fatal(err)
	}
	if account.Spent.Float() != want {
		w.t.Errorf("spent %s, want %v", account.Spent, want)
	}
}

func expectRun(t *testing.T, run *bastionlabv1.Run, status bastionlabv1.RunStatus, failure, spent string) {
	t.Helper()
	if run.GetStatus() != status || run.GetFailure() != failure || run.GetSpent() != spent || run.GetEndedUnixMs() == 0 {
		t.Errorf("the run is %s, failure %q, spent %q, ended %d; want %s, %q, %q", run.GetStatus(), run.GetFailure(), run.GetSpent(), run.GetEndedUnixMs(), status, failure, spent)
	}
}

func expectRefusal(t *testing.T, err error, kind refusal.Kind, words string) {
	t.Helper()
	if err == nil || refusal.KindOf(err) != kind || !strings.Contains(err.Error(), words) {
		t.Errorf("got %v (kind %d), want kind %d with %q", err, refusal.KindOf(err), kind, words)
	}
}
