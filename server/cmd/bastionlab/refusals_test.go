package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/program"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// expect wants a typed refusal that says what was wrong and what to do.
func expect(t *testing.T, kind refusal.Kind, trailer metadata.MD, err error) {
	t.Helper()
	got := refused(trailer)
	if err == nil || got == nil || got.Kind != kind {
		t.Fatalf("got %v, %v; want kind %d", err, got, kind)
	}
	if got.What == "" || got.Next == "" || got.Spent != refusal.Nothing {
		t.Errorf("it does not say what, what it cost and what to do: %+v", got)
	}
}

func TestSpoiltDatasetUploadsLeaveNothing(t *testing.T) {
	n := serveOn(t, t.TempDir(), &fakeTrainers{})
	owner := n.connect()
	header := func(change func(*bastionlabv1.UploadDatasetHeader)) func([]*bastionlabv1.UploadDatasetRequest) []*bastionlabv1.UploadDatasetRequest {
		return func(parts []*bastionlabv1.UploadDatasetRequest) []*bastionlabv1.UploadDatasetRequest {
			change(parts[0].GetHeader())
			return parts
		}
	}
	for name, spoil := range map[string]func([]*bastionlabv1.UploadDatasetRequest) []*bastionlabv1.UploadDatasetRequest{
		"cut before the trailer": func(p []*bastionlabv1.UploadDatasetRequest) []*bastionlabv1.UploadDatasetRequest { return p[:2] },
		"cut before the batches": func(p []*bastionlabv1.UploadDatasetRequest) []*bastionlabv1.UploadDatasetRequest { return p[:1] },
		"batch left out": func(p []*bastionlabv1.UploadDatasetRequest) []*bastionlabv1.UploadDatasetRequest {
			return []*bastionlabv1.UploadDatasetRequest{p[0], p[2]}
		},
		"batch twice": func(p []*bastionlabv1.UploadDatasetRequest) []*bastionlabv1.UploadDatasetRequest {
			return []*bastionlabv1.UploadDatasetRequest{p[0], p[1], p[1], p[2]}
		},
		"damaged batch": func(p []*bastionlabv1.UploadDatasetRequest) []*bastionlabv1.UploadDatasetRequest {
			p[1].GetBatch().Safetensors[len(p[1].GetBatch().Safetensors)-1] ^= 1
			return p
		},
		"wrong digest of all": func(p []*bastionlabv1.UploadDatasetRequest) []*bastionlabv1.UploadDatasetRequest {
			p[2].GetTrailer().Sha256[0] ^= 1
			return p
		},
		"limit is NaN":             header(func(h *bastionlabv1.UploadDatasetHeader) { h.PrivacyLimit = proto.Float64(math.NaN()) }),
		"limit is negative":        header(func(h *bastionlabv1.UploadDatasetHeader) { h.PrivacyLimit = proto.Float64(-1) }),
		"delta of one":             header(func(h *bastionlabv1.UploadDatasetHeader) { h.Delta = proto.Float64(1) }),
		"fewer slots than records": header(func(h *bastionlabv1.UploadDatasetHeader) { h.DeclaredSamples = declared - 1 }),
		"no schema":                header(func(h *bastionlabv1.UploadDatasetHeader) { h.Schema = nil }),
		"test set of nothing":      header(func(h *bastionlabv1.UploadDatasetHeader) { h.TestOf = "0123" }),
	} {
		t.Run(name, func(t *testing.T) {
			_, trailer, err := owner.sendDataset(spoil(parts("d", 6, "")))
			kind := refusal.InvalidArgument
			if name == "test set of nothing" {
				kind = refusal.NotFound
			}
			expect(t, kind, trailer, err)
		})
	}
	listed, err := owner.data().ListDatasets(owner.ctx(), &bastionlabv1.ListDatasetsRequest{})
	if err != nil || len(listed.GetDatasets()) != 0 {
		t.Errorf("left: %v, %v", listed, err)
	}
}

func TestSpoiltModelUploadsLeaveNothing(t *testing.T) {
	f := &fakeTrainers{}
	n := serveOn(t, t.TempDir(), f)
	owner, scientist := n.connect(), n.connect()
	d := owner.upload("d", 6)
	whole := func() []*bastionlabv1.UploadModelRequest {
		return modelParts(d.GetId(), "cross_entropy", archive(t))
	}
	for name, test := range map[string]struct {
		parts func() []*bastionlabv1.UploadModelRequest
		kind  refusal.Kind
	}{
		"cut before the trailer": {func() []*bastionlabv1.UploadModelRequest { return whole()[:2] }, refusal.InvalidArgument},
		"no archive": {func() []*bastionlabv1.UploadModelRequest {
			p := whole()
			return []*bastionlabv1.UploadModelRequest{p[0], p[2]}
		}, refusal.InvalidArgument},
		"archive twice": {func() []*bastionlabv1.UploadModelRequest {
			p := whole()
			return []*bastionlabv1.UploadModelRequest{p[0], p[1], p[1], p[2]}
		}, refusal.InvalidArgument},
		"damaged archive": {func() []*bastionlabv1.UploadModelRequest { p := whole(); p[1].GetChunk()[50] ^= 1; return p }, refusal.InvalidArgument},
		"wrong digest":    {func() []*bastionlabv1.UploadModelRequest { p := whole(); p[2].GetTrailer().Sha256[0] ^= 1; return p }, refusal.InvalidArgument},
		"no zip": {func() []*bastionlabv1.UploadModelRequest {
			return modelParts(d.GetId(), "cross_entropy", []byte("PK\x03\x04 and nothing else"))
		}, refusal.InvalidArgument},
		"archive of nothing": {func() []*bastionlabv1.UploadModelRequest { p := whole(); p[0].GetHeader().ArchiveBytes = 0; return p }, refusal.InvalidArgument},
		"archive of a lie": {func() []*bastionlabv1.UploadModelRequest {
			p := whole()
			p[0].GetHeader().ArchiveBytes = 1 << 50
			return p
		}, refusal.InvalidArgument},
		"longer than announced":  {func() []*bastionlabv1.UploadModelRequest { p := whole(); p[0].GetHeader().ArchiveBytes--; return p }, refusal.InvalidArgument},
		"shorter than announced": {func() []*bastionlabv1.UploadModelRequest { p := whole(); p[0].GetHeader().ArchiveBytes++; return p }, refusal.InvalidArgument},
		"unknown dataset":        {func() []*bastionlabv1.UploadModelRequest { return modelParts("0123", "cross_entropy", archive(t)) }, refusal.NotFound},
		"unknown loss":           {func() []*bastionlabv1.UploadModelRequest { return modelParts(d.GetId(), "hinge", archive(t)) }, refusal.InvalidArgument},
		"loss of other labels":   {func() []*bastionlabv1.UploadModelRequest { return modelParts(d.GetId(), "l2", archive(t)) }, refusal.InvalidArgument},
		"chunk too large": {func() []*bastionlabv1.UploadModelRequest {
			return modelParts(d.GetId(), "cross_entropy", make([]byte, 1<<20+1))
		}, refusal.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			_, trailer, err := scientist.sendModel(test.parts())
			expect(t, test.kind, trailer, err)
		})
	}
	for name, test := range map[string]struct {
		say  func(*unrolled) error
		kind refusal.Kind
	}{
		"the intake refuses": {func(*unrolled) error {
			return refusal.New(refusal.IncompatibleModel, "use a layer norm", "batch norm mixes records")
		}, refusal.IncompatibleModel},
		"an operator nobody argued for": {func(made *unrolled) error {
			made.Graph.Steps[0].Operator = "aten::steal" // and its report says nothing of it
			return nil
		}, refusal.IncompatibleModel},
	} {
		t.Run(name, func(t *testing.T) {
			f.set(func(f *fakeTrainers) { f.intake = test.say })
			_, trailer, err := scientist.sendModel(whole())
			expect(t, test.kind, trailer, err)
		})
	}
	for name, lie := range map[string]func(*unrolled) error{
		"a program for another loss": func(made *unrolled) error { made.Graph.Loss = "l1"; return nil },
		"a value that dangles": func(made *unrolled) error {
			made.Graph.Output = 3
			return nil
		},
		"more than a program":             func(made *unrolled) error { made.behind = []byte{0}; return nil },
		"a report of other parameters":    func(made *unrolled) error { made.report.Parameters[0].Name = "head.bias"; return nil },
		"a report that paints the screen": func(made *unrolled) error { made.report.Outputs[0].Name = "\x1b[2J"; return nil },
		"no report":                       func(made *unrolled) error { made.report = nil; return nil },
	} {
		t.Run(name, func(t *testing.T) {
			f.set(func(f *fakeTrainers) { f.intake = lie })
			_, trailer, err := scientist.sendModel(whole())
			if got := refused(trailer); err == nil || got == nil || got.Kind != refusal.Internal {
				t.Errorf("a lying intake: %v, %v", err, got)
			}
		})
	}
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"archive", "model"} {
		if left := blobsIn(t, n.dir, kind); len(left) != 0 {
			t.Errorf("left of kind %s: %v", kind, left)
		}
	}
}

// SECURITY: what people are shown, and what the charge is bound to, is the server's own reading of the program.
func TestTheReportIsNotTheIntakes(t *testing.T) {
	f := &fakeTrainers{}
	n := serveOn(t, t.TempDir(), f)
	owner, scientist := n.connect(), n.connect()
	d := owner.upload("d", 6)
	f.set(func(f *fakeTrainers) {
		f.intake = func(made *unrolled) error {
			made.report.ProgramSha256 = make([]byte, 32)
			made.report.Operators = []*bastionlabv1.OperatorUse{{Name: "aten::harmless", Count: 1}}
			return nil
		}
	})
	response, trailer, err := scientist.sendModel(modelParts(d.GetId(), "cross_entropy", archive(t)))
	if err != nil {
		t.Fatalf("%v, %v", err, refused(trailer))
	}
	made := unroll(&trainerv1.Intake{Schema: schema, Loss: "cross_entropy"})
	var file bytes.Buffer
	if err := program.Write(&file, made.Graph, made.Tensors); err != nil {
		t.Fatal(err)
	}
	digest, report := sha256.Sum256(file.Bytes()), response.GetReport()
	if !bytes.Equal(report.GetProgramSha256(), digest[:]) || len(report.GetOperators()) != 1 || report.GetOperators()[0].GetName() != "aten::linear" {
		t.Errorf("reported %v", report)
	}
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	if archives, models := blobsIn(t, n.dir, "archive"), blobsIn(t, n.dir, "model"); len(archives) != 0 || len(models) != 1 {
		t.Errorf("left: archives %v, models %v", archives, models)
	}
}

func TestWhatIsSomebodyElsesIsNotThere(t *testing.T) {
	n := serveOn(t, t.TempDir(), &fakeTrainers{})
	owner, scientist, stranger := n.connect(), n.connect(), n.connect()
	d := owner.upload("d", 6)
	m := scientist.uploadModel(d.GetId())
	run := scientist.wait(scientist.start(request(m, d.GetId(), 1)).GetId())
	for name, test := range map[string]struct {
		call func(p *person, trailer grpc.CallOption) error
		who  *person
		kind refusal.Kind
	}{
		"a stranger plans with the model": {func(p *person, trailer grpc.CallOption) error {
			_, err := p.runs().PlanTraining(p.ctx(), request(m, d.GetId(), 1), trailer)
			return err
		}, stranger, refusal.NotFound},
		"the owner starts the model": {func(p *person, trailer grpc.CallOption) error {
			_, err := p.runs().StartTraining(p.ctx(), &bastionlabv1.StartTrainingRequest{Request: request(m, d.GetId(), 1)}, trailer)
			return err
		}, owner, refusal.NotFound},
		"a stranger looks at the run": {func(p *person, trailer grpc.CallOption) error {
			_, err := p.runs().GetRun(p.ctx(), &bastionlabv1.GetRunRequest{Id: run.GetId()}, trailer)
			return err
		}, stranger, refusal.NotFound},
		"a stranger cancels the run": {func(p *person, trailer grpc.CallOption) error {
			_, err := p.runs().CancelRun(p.ctx(), &bastionlabv1.CancelRunRequest{Id: run.GetId()}, trailer)
			return err
		}, stranger, refusal.NotFound},
		"the owner cancels the run": {func(p *person, trailer grpc.CallOption) error {
			_, err := p.runs().CancelRun(p.ctx(), &bastionlabv1.CancelRunRequest{Id: run.GetId()}, trailer)
			return err
		}, owner, refusal.PermissionDenied},
		"the scientist lowers the limit": {func(p *person, trailer grpc.CallOption) error {
			_, err := p.data().LowerLimit(p.ctx(), &bastionlabv1.LowerLimitRequest{DatasetId: d.GetId(), PrivacyLimit: 1}, trailer)
			return err
		}, scientist, refusal.PermissionDenied},
		"the scientist deletes the data": {func(p *person, trailer grpc.CallOption) error {
			_, err := p.data().DeleteDataset(p.ctx(), &bastionlabv1.DeleteDatasetRequest{Id: d.GetId()}, trailer)
			return err
		}, scientist, refusal.PermissionDenied},
		"an unknown dataset": {func(p *person, trailer grpc.CallOption) error {
			_, err := p.data().GetBudget(p.ctx(), &bastionlabv1.GetBudgetRequest{DatasetId: "0123"}, trailer)
			return err
		}, stranger, refusal.NotFound},
		"the limit is raised": {func(p *person, trailer grpc.CallOption) error {
			_, err := p.data().LowerLimit(p.ctx(), &bastionlabv1.LowerLimitRequest{DatasetId: d.GetId(), PrivacyLimit: 7}, trailer)
			return err
		}, owner, refusal.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			var trailer metadata.MD
			err := test.call(test.who, grpc.Trailer(&trailer))
			expect(t, test.kind, trailer, err)
		})
	}
	_, trailer, err := owner.download(run.GetId())
	expect(t, refusal.PermissionDenied, trailer, err)
	_, trailer, err = stranger.download(run.GetId())
	expect(t, refusal.NotFound, trailer, err)
	if runs, err := stranger.runs().ListRuns(stranger.ctx(), &bastionlabv1.ListRunsRequest{}); err != nil || len(runs.GetRuns()) != 0 {
		t.Errorf("a stranger lists %v, %v", runs, err)
	}
	if runs, err := owner.runs().ListRuns(owner.ctx(), &bastionlabv1.ListRunsRequest{}); err != nil || len(runs.GetRuns()) != 1 {
		t.Errorf("the owner lists %v, %v", runs, err)
	}
	if _, err := owner.data().DeleteDataset(owner.ctx(), &bastionlabv1.DeleteDatasetRequest{Id: d.GetId()}); err != nil {
		t.Errorf("the owner deletes: %v", err)
	}
	_, trailer, err = stranger.sendModel(modelParts(d.GetId(), "cross_entropy", archive(t)))
	expect(t, refusal.NotFound, trailer, err)
}

// A file that cannot be removed at once is removed at the next start. The dataset is gone all the same, and so are its runs.
func TestRunsEndWithADatasetWhoseFileStays(t *testing.T) {
	f := &fakeTrainers{}
	n := serveOn(t, t.TempDir(), f)
	owner, scientist := n.connect(), n.connect()
	d := owner.upload("d", 6)
	m := scientist.uploadModel(d.GetId())
	arrived, letGo := f.hold()
	defer letGo()
	run := scientist.start(request(m, d.GetId(), 2))
	<-arrived
	blob := filepath.Join(n.dir, "blobs", "dataset", d.GetId()+".age")
	if err := errors.Join(os.Remove(blob), os.MkdirAll(filepath.Join(blob, "in the way"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, err := owner.data().DeleteDataset(owner.ctx(), &bastionlabv1.DeleteDatasetRequest{Id: d.GetId()}); status.Code(err) != codes.Internal {
		t.Errorf("deleted: %v", err)
	}
	if ended := scientist.wait(run.GetId()); ended.GetStatus() != bastionlabv1.RunStatus_RUN_STATUS_FAILED {
		t.Errorf("the run is %v", ended)
	}
	if err := os.RemoveAll(blob); err != nil {
		t.Fatal(err)
	}
}

func TestSixtyFourClientsRaceForTheLastOfTheBudget(t *testing.T) {
	f := &fakeTrainers{}
	n := serveOn(t, t.TempDir(), f)
	owner, scientist := n.connect(), n.connect()
	d := owner.upload("d", 6)
	m := scientist.uploadModel(d.GetId())
	_, letGo := f.hold()
	defer letGo()
	scientist.start(request(m, d.GetId(), 4))
	var clients sync.WaitGroup
	var mu sync.Mutex
	outcomes := map[refusal.Kind]int{}
	for range 64 {
		racer := connect(t, n.address, scientist.key)
		clients.Go(func() {
			var trailer metadata.MD
			_, err := racer.runs().StartTraining(racer.ctx(), &bastionlabv1.StartTrainingRequest{Request: request(m, d.GetId(), 2)}, grpc.Trailer(&trailer))
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				outcomes[0]++
			} else if got := refused(trailer); got != nil {
				outcomes[got.Kind]++
			}
		})
	}
	clients.Wait()
	if outcomes[0] != 1 || outcomes[refusal.BudgetExceeded] != 63 {
		t.Errorf("outcomes %v", outcomes)
	}
	if charged := owner.charged(d.GetId()); charged != 6 {
		t.Errorf("charged %v", charged)
	}
}
