package training

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// testRequest asks for the accuracy of the model as it was sent.
func testRequest(modelID, datasetID string, eps float64) *bastionlabv1.TestRequest {
	r := &bastionlabv1.TestRequest{ModelId: modelID, DatasetId: datasetID, Metric: "accuracy"}
	if eps != 0 {
		r.Epsilon = &eps
	}
	return r
}

func (w *world) startTest(r *bastionlabv1.TestRequest) *bastionlabv1.Run {
	w.t.Helper()
	run, err := w.StartTest(w.t.Context(), scientist, &bastionlabv1.StartTestRequest{Request: r})
	if err != nil {
		w.t.Fatal(err)
	}
	return run
}

// half is the sum of a test in which half of the records have the largest value.
func half(context.Context) (int64, error) { return declared / 2 << 30, nil }

func TestWholeLifeOfATest(t *testing.T) {
	w := newWorld(t)
	w.trainer.measure = half
	d := w.upload(6)
	m := w.insertModel(scientist, d)
	plan, err := w.PlanTest(t.Context(), scientist, testRequest(m, d, 2))
	if err != nil {
		t.Fatal(err)
	}
	w.expectSpent(d, 0)
	run, err := w.StartTest(t.Context(), scientist, &bastionlabv1.StartTestRequest{Request: testRequest(m, d, 2), Charge: plan.GetCharge(), Name: "n"})
	if err != nil {
		t.Fatal(err)
	}
	w.expectSpent(d, 2) // before anything else happens
	ended := w.wait(run.GetId())
	expectRun(t, ended, completed, "", spentTwoOfSix)
	if result := ended.GetResult(); result.GetValue() != 0.5 || math.Abs(result.GetStandardError()-plan.GetNoiseMultiplier()/declared) > 1e-12 {
		t.Errorf("result %v", result)
	}
	want := &trainerv1.TestSettings{Private: true, NoiseMultiplier: plan.GetNoiseMultiplier(), Slots: declared, Metric: "accuracy", Threads: 1}
	if told := w.trainer.tests[0]; !proto.Equal(told.GetSettings(), want) || told.GetHasWeights() {
		t.Errorf("it was told %v", told)
	}
	account, err := w.ledger.Account(d)
	if err != nil || account.Entries[0].Outcome != ledger.OutcomeCompleted || string(account.Entries[0].Charge) != string(plan.GetCharge()) {
		t.Errorf("the ledger holds %v, %v", account, err)
	}
	_, err = w.Weights(t.Context(), scientist, run.GetId())
	expectRefusal(t, err, refusal.InvalidArgument, "a test has none")
	from := request(m, d, 1)
	from.ContinueRunId = run.GetId()
	_, err = w.Plan(t.Context(), scientist, from)
	expectRefusal(t, err, refusal.InvalidArgument, "it was a test")
}

func TestATestMeasuresTheWeightsOfACompletedRun(t *testing.T) {
	w := newWorld(t)
	w.trainer.measure = half
	d := w.upload(6)
	m := w.insertModel(scientist, d)
	first := w.wait(w.start(scientist, request(m, d, 1)).GetId())
	r := testRequest(m, d, 1)
	r.WeightsRunId, r.Metric = first.GetId(), "cross_entropy"
	ended := w.wait(w.startTest(r).GetId())
	bound := 2 * math.Log(4)
	if value := ended.GetResult().GetValue(); ended.GetStatus() != completed || math.Abs(value-bound/2) > 1e-12 || ended.GetPlan().GetLossBound() != bound {
		t.Errorf("the test is %v", ended)
	}
	if told := w.trainer.tests[0]; !told.GetHasWeights() || len(w.trainer.initial[1]) == 0 || told.GetSettings().GetLossBound() != bound {
		t.Errorf("it was told %v and got %d bytes of weights", told, len(w.trainer.initial[1]))
	}
}

func TestTestsThatAreRefusedCostNothing(t *testing.T) {
	w := newWorld(t)
	d, open := w.upload(6), w.upload(0)
	m := w.insertModel(scientist, d)
	for name, test := range map[string]struct {
		change func(*bastionlabv1.TestRequest)
		kind   refusal.Kind
		words  string
	}{
		"no eps under a limit":  {func(r *bastionlabv1.TestRequest) { r.Epsilon = nil }, refusal.InvalidArgument, "an eps of its own"},
		"more than remains":     {func(r *bastionlabv1.TestRequest) { r.Epsilon = proto.Float64(7) }, refusal.BudgetExceeded, "a run of eps 6 or less would fit"},
		"an unknown metric":     {func(r *bastionlabv1.TestRequest) { r.Metric = "f1" }, refusal.InvalidArgument, `"f1"`},
		"no metric":             {func(r *bastionlabv1.TestRequest) { r.Metric = "" }, refusal.InvalidArgument, `""`},
		"a label that does not": {func(r *bastionlabv1.TestRequest) { r.Metric = "l2" }, refusal.InvalidArgument, "label is i64"},
		"no dataset":            {func(r *bastionlabv1.TestRequest) { r.DatasetId = "x" }, refusal.NotFound, ""},
		"no model":              {func(r *bastionlabv1.TestRequest) { r.ModelId = "x" }, refusal.NotFound, "no such model"},
		"no such run":           {func(r *bastionlabv1.TestRequest) { r.WeightsRunId = "x" }, refusal.NotFound, "no such run"},
		"a negative eps":        {func(r *bastionlabv1.TestRequest) { r.Epsilon = proto.Float64(-1) }, refusal.InvalidArgument, "positive"},
		"a very long metric":    {func(r *bastionlabv1.TestRequest) { r.Metric = strings.Repeat("x", 5000) }, refusal.InvalidArgument, "bytes"},
		"infinity, no limit":    {func(r *bastionlabv1.TestRequest) { r.DatasetId, r.Epsilon = open, proto.Float64(math.Inf(1)) }, refusal.InvalidArgument, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := testRequest(m, d, 1)
			test.change(r)
			_, err := w.StartTest(t.Context(), scientist, &bastionlabv1.StartTestRequest{Request: r})
			expectRefusal(t, err, test.kind, test.words)
			w.expectSpent(d, 0)
			w.expectSpent(open, 0)
		})
	}
	_, err := w.StartTest(t.Context(), scientist, &bastionlabv1.StartTestRequest{Request: testRequest(m, d, 1), Charge: []byte("another")})
	expectRefusal(t, err, refusal.InvalidArgument, "another than the plan")
}

func TestTestsAddUpToTheLimitOfTheTestedDataset(t *testing.T) {
	w := newWorld(t)
	w.trainer.measure = half
	d, other := w.upload(6), w.upload(6)
	m := w.insertModel(scientist, d)
	w.wait(w.startTest(testRequest(m, d, 4)).GetId())
	_, err := w.StartTest(t.Context(), scientist, &bastionlabv1.StartTestRequest{Request: testRequest(m, d, 4)})
	expectRefusal(t, err, refusal.BudgetExceeded, "a run of eps 2 or less would fit")
	w.expectSpent(d, 4)
	w.expectSpent(other, 0)
}

// PRIVACY: nor is it repeated: another attempt would be another look at the data.
func TestAFailedTestStaysChargedAndSaysNothing(t *testing.T) {
	w := newWorld(t)
	w.trainer.measure = func(context.Context) (int64, error) { return 4711, errors.New(planted) }
	d := w.upload(6)
	run := w.wait(w.startTest(testRequest(w.insertModel(scientist, d), d, 2)).GetId())
	expectRun(t, run, failed, failureWithData, spentTwoOfSix)
	w.expectSpent(d, 2)
	if run.GetResult() != nil || strings.Contains(w.log.String(), planted) || strings.Contains(run.String(), "4711") {
		t.Errorf("what happened got out: %v\n%s", run, w.log)
	}
	if attempts, interruptions := len(w.trainer.tests), w.asOwner(run.GetId()).GetInterruptions(); attempts != 1 || interruptions != 0 {
		t.Errorf("%d attempts, %d interruptions", attempts, interruptions)
	}
}

func TestATestThatNeverHadTheDataCostsNothing(t *testing.T) {
	w := newWorld(t)
	w.trainer.prepare = func(context.Context, *trainerv1.Train) error {
		return refusal.New(refusal.IncompatibleModel, "", planted)
	}
	d := w.upload(6)
	run := w.wait(w.startTest(testRequest(w.insertModel(scientist, d), d, 2)).GetId())
	expectRun(t, run, failed, failureModelRefused, refusal.Nothing)
	w.expectSpent(d, 0)
}

func TestATestIsCancelledLikeARun(t *testing.T) {
	w := newWorld(t)
	arrived := make(chan struct{})
	w.trainer.measure = func(ctx context.Context) (int64, error) {
		close(arrived)
		<-ctx.Done()
		return 0, ctx.Err()
	}
	d := w.upload(6)
	run := w.startTest(testRequest(w.insertModel(scientist, d), d, 2))
	<-arrived
	ended, err := w.Cancel(t.Context(), scientist, run.GetId())
	if err != nil {
		t.Fatal(err)
	}
	expectRun(t, ended, cancelled, "", spentTwoOfSix)
	w.expectSpent(d, 2)
}

func TestTestingWithoutNoiseMakesTheAccountInfinite(t *testing.T) {
	w := newWorld(t)
	w.trainer.measure = half
	d := w.upload(0)
	m := w.insertModel(scientist, d)
	plan, err := w.PlanTest(t.Context(), scientist, testRequest(m, d, 0))
	if err != nil || len(plan.GetWarnings()) != 1 || !strings.Contains(plan.GetWarnings()[0], "infinite") {
		t.Errorf("the plan warns %v, %v", plan.GetWarnings(), err)
	}
	run := w.wait(w.startTest(testRequest(m, d, 0)).GetId())
	if run.GetResult().GetValue() != 0.5 || run.GetResult().GetStandardError() != 0 || w.trainer.tests[0].GetSettings().GetPrivate() {
		t.Errorf("the run is %v", run)
	}
	if account, err := w.ledger.Account(d); err != nil || !account.Infinite {
		t.Errorf("account %v, %v", account, err)
	}
}

// A server that stops ends a test that has the data; the next one does not take it up.
func TestATestOfAServerThatStopsFails(t *testing.T) {
	w := open(t, t.TempDir(), nil)
	stop := w.serve()
	arrived := make(chan struct{})
	w.trainer.measure = func(ctx context.Context) (int64, error) {
		close(arrived)
		<-ctx.Done()
		return 0, ctx.Err()
	}
	d := w.upload(6)
	run := w.startTest(testRequest(w.insertModel(scientist, d), d, 2)).GetId()
	<-arrived
	left := w.killed()
	stop()
	expectRun(t, w.get(run), failed, failureWithData, spentTwoOfSix)
	for name, dir := range map[string]string{"stopped": w.killed(), "killed": left} {
		t.Run(name, func(t *testing.T) {
			w := reopened(t, dir)
			expectRun(t, w.get(run), failed, failureWithData, spentTwoOfSix)
			w.expectSpent(d, 2)
		})
	}
}

// PRIVACY: the result is written before the ledger settles the test, and told only after.
func TestATestOfAServerThatDiedHasAResultOnlyWhereTheLedgerSaysSo(t *testing.T) {
	for name, test := range map[string]struct {
		before, after string
		status        bastionlabv1.RunStatus
	}{
		"before the test is settled": {before: "settle", status: failed},
		"after it":                   {after: "settle", status: completed},
	} {
		t.Run(name, func(t *testing.T) {
			var dir string
			budget := &crashing{before: test.before, after: test.after}
			w := open(t, filepath.Join(t.TempDir(), "first"), func(l *ledger.Ledger) Budget {
				budget.Ledger = l
				return budget
			})
			w.trainer.measure = half
			d := w.upload(6)
			run := w.startTest(testRequest(w.insertModel(scientist, d), d, 2))
			budget.crash = func() {
				dir = w.killed()
				if found, err := w.Get(t.Context(), scientist, run.GetId()); err != nil || found.GetResult() != nil {
					t.Errorf("before it has completed the test is %v, %v", found, err)
				}
			}
			stop := w.serve()
			w.wait(run.GetId())
			stop()
			w = open(t, dir, nil)
			if err := w.Recover(t.Context()); err != nil {
				t.Fatal(err)
			}
			found, err := w.Get(t.Context(), scientist, run.GetId())
			if err != nil {
				t.Fatal(err)
			}
			if found.GetStatus() != test.status || (found.GetResult() != nil) != (test.status == completed) {
				t.Errorf("the run is %v", found)
			}
			w.expectSpent(d, 2)
		})
	}
}
