package training

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
)

const (
	completed = bastionlabv1.RunStatus_RUN_STATUS_COMPLETED
	failed    = bastionlabv1.RunStatus_RUN_STATUS_FAILED
	cancelled = bastionlabv1.RunStatus_RUN_STATUS_CANCELLED
	queued    = bastionlabv1.RunStatus_RUN_STATUS_QUEUED
	running   = bastionlabv1.RunStatus_RUN_STATUS_RUNNING
	waiting   = bastionlabv1.RunStatus_RUN_STATUS_WAITING

	spentTwoOfSix = "eps 2 of the limit 6"
)

func TestWholeLifeOfARun(t *testing.T) {
	w := newWorld(t)
	d := w.upload(6)
	m := w.insertModel(scientist, d)
	plan, err := w.Plan(t.Context(), scientist, request(m, d, 2))
	if err != nil {
		t.Fatal(err)
	}
	w.expectSpent(d, 0)
	run, err := w.Start(t.Context(), scientist, &bastionlabv1.StartTrainingRequest{Request: request(m, d, 2), Charge: plan.GetCharge(), Name: "n", Description: "s"})
	if err != nil {
		t.Fatal(err)
	}
	w.expectSpent(d, 2) // before anything else happens
	if run.GetScientist() != scientist || !run.GetMine() || run.GetName() != "n" || run.GetDatasetId() != d || run.GetModelId() != m {
		t.Errorf("the run is %v", run)
	}
	ended := w.wait(run.GetId())
	expectRun(t, ended, completed, "", spentTwoOfSix)
	if ended.GetStepsDone() != 16 || ended.GetEpochsDone() != 2 {
		t.Errorf("%d steps, %d epochs", ended.GetStepsDone(), ended.GetEpochsDone())
	}
	weights, err := w.Weights(t.Context(), scientist, run.GetId())
	if err != nil {
		t.Fatal(err)
	}
	tensors := decodeWeights(t, weights)
	if len(tensors) != 2 || tensors[0].Name != "head.weight" || !bytes.Equal(tensors[1].Data, trained[1].Data) {
		t.Errorf("weights %v", tensors)
	}
	settings := w.trainer.prepared[0].GetSettings()
	threshold, _ := accounting.InclusionThreshold(8.0 / declared)
	if settings.GetInclusionThreshold() != threshold || settings.GetIncludeAll() || settings.GetSlots() != declared || settings.GetSteps() != 16 ||
		settings.GetBatchSize() != 8 || settings.GetPassSize() != 4 || settings.GetNoiseMultiplier() != plan.GetNoiseMultiplier() || !settings.GetPrivate() {
		t.Errorf("the trainer was told %v", settings)
	}
	account, err := w.ledger.Account(d)
	if err != nil {
		t.Fatal(err)
	}
	if entry := account.Entries[0]; entry.Outcome != ledger.OutcomeCompleted || !bytes.Equal(entry.Charge, plan.GetCharge()) {
		t.Errorf("the ledger holds %v", entry)
	}
}

// The whole point of the order: at the moment the trainer gets the records, everything that must be durable is.
func TestNothingGetsTheDataBeforeTheLedgerSaysSo(t *testing.T) {
	w := newWorld(t)
	d := w.upload(6)
	entry := func() ledger.Entry {
		account, err := w.ledger.Account(d)
		if err != nil || len(account.Entries) != 1 {
			t.Fatalf("account %v, %v", account, err)
		}
		return account.Entries[0]
	}
	w.trainer.prepare = func(context.Context, *trainerv1.Train) error {
		if entry().DataGiven {
			t.Error("the data count as given while the trainer is prepared: a failure here could not be released")
		}
		return nil
	}
	w.trainer.run = func(context.Context, *fakeTrainer) error {
		if !entry().DataGiven {
			t.Error("the trainer has the data, and the ledger does not know")
		}
		return nil
	}
	expectRun(t, w.wait(w.start(scientist, request(w.insertModel(scientist, d), d, 2)).GetId()), completed, "", spentTwoOfSix)
}

// Runs whose eps add up to the limit are always taken. Beyond it as many are as a counting filter admits, and what they cost together, as one
// plan, is never over the limit.
func TestRunsAreTakenUpToTheLimitAndNoFurther(t *testing.T) {
	w := newWorld(t)
	d := w.upload(6)
	m := w.insertModel(scientist, d)
	var charged []accounting.Steps
	for {
		plan, err := w.Plan(t.Context(), scientist, request(m, d, 2))
		if err != nil {
			expectRefusal(t, err, refusal.BudgetExceeded, "")
			var refused *refusal.Error
			if !errors.As(err, &refused) || refused.Budget.LimitNano != 6e9 || refused.Budget.RequestedNano != 2e9 || refused.Budget.RemainingNano != 0 {
				t.Errorf("refused: %v", err)
			}
			break
		}
		charged = append(charged, accounting.Steps{SampleRate: plan.GetSampleRate(), NoiseMultiplier: plan.GetNoiseMultiplier(), Count: plan.GetSteps()})
		if run := w.start(scientist, request(m, d, 2)); run.GetPlan().GetNoiseMultiplier() != plan.GetNoiseMultiplier() {
			t.Fatal("the run is another than its plan")
		}
		if eps, err := accounting.EpsilonOf(charged, 1e-3); err != nil || eps > 6 { // 64 slots: delta is 1e-3
			t.Fatalf("%d runs cost %v together, %v", len(charged), eps, err)
		}
	}
	if len(charged) < 3 {
		t.Errorf("%d runs of 2.0 were taken under a limit of 6.0", len(charged))
	}
	account, err := w.ledger.Account(d)
	if err != nil || len(account.Entries) != len(charged) || account.Admits(account.Entries[0].Cost) {
		t.Errorf("%d entries, %v: another run would be taken", len(account.Entries), err)
	}
}

func TestFailureBeforeTheDataCostsNothing(t *testing.T) {
	for name, test := range map[string]struct {
		err     error
		failure string
	}{
		"model refused":  {refusal.New(refusal.IncompatibleModel, "", planted), failureModelRefused},
		"out of memory":  {refusal.New(refusal.TrainingFailed, "lower it", "it is too large"), "it is too large; the run never had the data; lower it"},
		"cannot start":   {refusal.New(refusal.Unavailable, "", planted), failureServer},
		"something else": {errors.New(planted), failureServer},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			d := w.upload(6)
			w.trainer.prepare = func(context.Context, *trainerv1.Train) error { return test.err }
			run := w.start(scientist, request(w.insertModel(scientist, d), d, 2))
			expectRun(t, w.wait(run.GetId()), failed, test.failure, refusal.Nothing)
			w.expectSpent(d, 0)
		})
	}
}

func TestATrainerThatDiesBeforeTheDataCostsNothing(t *testing.T) {
	w := newWorld(t)
	d := w.upload(6)
	w.trainer.gone = true
	run := w.start(scientist, request(w.insertModel(scientist, d), d, 2))
	expectRun(t, w.wait(run.GetId()), failed, failureTrainerGone, refusal.Nothing)
	w.expectSpent(d, 0)
}

// PRIVACY: however attempts at a run fail once it has the data, the scientist reads one and the same, and nothing of what the trainer said.
func TestEveryFailureWithTheDataReadsTheSame(t *testing.T) {
	for name, misbehave := range map[string]func(context.Context, *fakeTrainer) error{
		"error": func(context.Context, *fakeTrainer) error { return errors.New(planted) },
		"refusal": func(context.Context, *fakeTrainer) error {
			return refusal.New(refusal.InvalidArgument, planted, planted)
		},
		"rubbish":            func(_ context.Context, t *fakeTrainer) error { t.raw = []byte(planted); return nil },
		"nothing":            func(_ context.Context, t *fakeTrainer) error { t.raw = []byte{}; return nil },
		"longer than it is":  func(_ context.Context, t *fakeTrainer) error { t.announce = 1; return nil },
		"shorter than it is": func(_ context.Context, t *fakeTrainer) error { t.announce = -1; return nil },
		"bytes behind its end": func(_ context.Context, t *fakeTrainer) error {
			var file bytes.Buffer
			if err := safetensors.Write(&file, trained); err != nil {
				return err
			}
			t.raw, t.announce = append(file.Bytes(), planted...), -int64(len(planted))
			return nil
		},
		"parameter missing": func(_ context.Context, t *fakeTrainer) error { t.put = trained[:1]; return nil },
		"tensor too many": func(_ context.Context, t *fakeTrainer) error {
			extra := trained[1]
			extra.Name = planted
			t.put = append(trained[:2:2], extra)
			return nil
		},
		"frozen parameter": func(_ context.Context, t *fakeTrainer) error {
			extra := trained[1]
			extra.Name = "frozen"
			t.put = append(trained[:2:2], extra)
			return nil
		},
		"other shape": func(_ context.Context, t *fakeTrainer) error {
			other := trained[1]
			other.Shape = []int64{1, 2}
			t.put = append(trained[:1:1], other)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			d := w.upload(6)
			w.trainer.run = misbehave
			run := w.waitForOwner(w.start(scientist, request(w.insertModel(scientist, d), d, 2)).GetId())
			if run.GetFailure() != "" || run.GetSpent() != spentTwoOfSix || run.GetInterruptions() != 0 || run.GetStepsDone() != 0 || w.trainer.runs() != 2 {
				t.Errorf("after %d attempts the run is %v", w.trainer.runs(), run)
			}
			if _, err := w.Deny(t.Context(), owner, run.GetId(), "no"); err != nil {
				t.Fatal(err)
			}
			run = w.wait(run.GetId())
			expectRun(t, run, failed, failureDenied, spentTwoOfSix)
			w.expectSpent(d, 2)
			_, err := w.Weights(t.Context(), scientist, run.GetId())
			expectRefusal(t, err, refusal.InvalidArgument, "only a completed run has weights")
			if strings.Contains(w.log.String(), planted) || strings.Contains(run.String(), planted) {
				t.Errorf("what the trainer said got out:\n%s\n%s", run, w.log)
			}
			if ids, err := w.store.BlobIDs(weightsKind); len(ids) != 0 || err != nil {
				t.Errorf("weights are left: %v, %v", ids, err)
			}
			w.trainer.run = nil
			expectRun(t, w.wait(w.start(scientist, request(run.GetModelId(), d, 2)).GetId()), completed, "", spentTwoOfSix)
		})
	}
}

func TestWeightsAreWrittenAnewInTheReportsOrder(t *testing.T) {
	w := newWorld(t)
	d := w.upload(6)
	w.trainer.run = func(_ context.Context, t *fakeTrainer) error { t.put = append(trained[1:2:2], trained[0]); return nil }
	run := w.wait(w.start(scientist, request(w.insertModel(scientist, d), d, 2)).GetId())
	weights, err := w.Weights(t.Context(), scientist, run.GetId())
	if err != nil {
		t.Fatal(err)
	}
	tensors := decodeWeights(t, weights)
	if tensors[0].Name != "head.weight" || !bytes.Equal(tensors[0].Data, trained[0].Data) || !bytes.Equal(tensors[1].Data, trained[1].Data) {
		t.Errorf("weights %v", tensors)
	}
}

func TestARunGoesOnFromItsAuthorsCompletedRun(t *testing.T) {
	w := newWorld(t)
	d := w.upload(6)
	m := w.insertModel(scientist, d)
	first := w.wait(w.start(scientist, request(m, d, 1)).GetId())
	again := request(m, d, 1)
	again.ContinueRunId = first.GetId()
	expectRun(t, w.wait(w.start(scientist, again).GetId()), completed, "", "eps 1 of the limit 6")
	weights, err := w.Weights(t.Context(), scientist, first.GetId())
	if err != nil {
		t.Fatal(err)
	}
	defer weights.File.Close()
	want, err := io.ReadAll(weights.File)
	if err != nil {
		t.Fatal(err)
	}
	if w.trainer.initial[0] != nil || !bytes.Equal(w.trainer.initial[1], want) || !w.trainer.prepared[1].GetHasInitialWeights() {
		t.Errorf("the trainers started from %d and %d bytes", len(w.trainer.initial[0]), len(w.trainer.initial[1]))
	}

	w.trainer.run = func(context.Context, *fakeTrainer) error { return errors.New("it dies") }
	dead := w.waitForOwner(w.start(scientist, request(m, d, 1)).GetId())
	for name, test := range map[string]struct {
		user, model, run string
		kind             refusal.Kind
		words            string
	}{
		"unknown run":     {scientist, m, "0123", refusal.NotFound, "no such run"},
		"failed run":      {scientist, m, dead.GetId(), refusal.InvalidArgument, "did not complete"},
		"another model":   {scientist, w.insertModel(scientist, d), first.GetId(), refusal.InvalidArgument, "another model"},
		"somebody else's": {stranger, w.insertModel(stranger, d), first.GetId(), refusal.NotFound, "no such run"},
		"the data owner":  {owner, w.insertModel(owner, d), first.GetId(), refusal.PermissionDenied, "only its author"},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(test.model, d, 1)
			r.ContinueRunId = test.run
			_, err := w.Plan(t.Context(), test.user, r)
			expectRefusal(t, err, test.kind, test.words)
		})
	}
}

func TestTrainingWithoutNoiseMakesTheAccountInfinite(t *testing.T) {
	w := newWorld(t)
	d := w.upload(0)
	run := w.wait(w.start(scientist, request(w.insertModel(scientist, d), d, 0)).GetId())
	if run.GetStatus() != completed || !strings.Contains(run.GetSpent(), "infinite") {
		t.Errorf("the run is %v", run)
	}
	if w.trainer.prepared[0].GetSettings().GetPrivate() {
		t.Error("it trained with noise")
	}
	account, err := w.ledger.Account(d)
	if err != nil || !account.Infinite {
		t.Errorf("account %v, %v", account, err)
	}
}

func TestALimitThatComesWhileARunWaitsKeepsTheData(t *testing.T) {
	for name, test := range map[string]struct {
		limit, eps float64 // 0: without
		lowered    float64
		completes  bool
	}{
		"no noise":                   {0, 0, 6, false},
		"noise, under a first limit": {0, 5, 1, false},
		"under a lower limit":        {6, 5, 1, false},
		"and it fits":                {6, 5, 5, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			d := w.upload(test.limit)
			lowered, err := accounting.NewEpsilon(test.lowered)
			if err != nil {
				t.Fatal(err)
			}
			w.trainer.prepare = func(context.Context, *trainerv1.Train) error { return w.ledger.LowerLimit(d, lowered) }
			run := w.wait(w.start(scientist, request(w.insertModel(scientist, d), d, test.eps)).GetId())
			if test.completes {
				if run.GetStatus() != completed {
					t.Errorf("the run is %v", run)
				}
				return
			}
			expectRun(t, run, failed, failureLimited, refusal.Nothing)
			w.expectSpent(d, 0)
			if account, err := w.ledger.Account(d); err != nil || account.Infinite || account.Remaining() != lowered {
				t.Errorf("account %+v, %v", account, err)
			}
		})
	}
}

func TestAPrivateRunWithoutALimitSaysWhatItCost(t *testing.T) {
	w := newWorld(t)
	d := w.upload(0)
	run := w.wait(w.start(scientist, request(w.insertModel(scientist, d), d, 2)).GetId())
	expectRun(t, run, completed, "", "eps 2; the dataset has no limit")
	w.expectSpent(d, 2)
}
