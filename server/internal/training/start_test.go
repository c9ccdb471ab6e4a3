package training

import (
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

func TestRequestsThatAreRefused(t *testing.T) {
	w := newWorld(t)
	d, unlimited := w.upload(6), w.upload(0)
	m := w.insertModel(scientist, d)
	adam := func(a *bastionlabv1.Adam) *bastionlabv1.Optimizer {
		return &bastionlabv1.Optimizer{Kind: &bastionlabv1.Optimizer_Adam{Adam: a}}
	}
	sgd := func(s *bastionlabv1.SGD) *bastionlabv1.Optimizer {
		return &bastionlabv1.Optimizer{Kind: &bastionlabv1.Optimizer_Sgd{Sgd: s}}
	}
	for name, test := range map[string]struct {
		user   string
		change func(r *bastionlabv1.TrainingRequest)
		kind   refusal.Kind
		words  string
	}{
		"unknown model":            {scientist, func(r *bastionlabv1.TrainingRequest) { r.ModelId = "0123" }, refusal.NotFound, "no such model"},
		"somebody else's model":    {stranger, func(*bastionlabv1.TrainingRequest) {}, refusal.NotFound, "no such model"},
		"unknown dataset":          {scientist, func(r *bastionlabv1.TrainingRequest) { r.DatasetId = "0123" }, refusal.NotFound, "dataset"},
		"no eps on a limited one":  {scientist, func(r *bastionlabv1.TrainingRequest) { r.Epsilon = nil }, refusal.InvalidArgument, "eps"},
		"eps is NaN":               {scientist, func(r *bastionlabv1.TrainingRequest) { r.Epsilon = proto.Float64(math.NaN()) }, refusal.InvalidArgument, "eps"},
		"eps is negative":          {scientist, func(r *bastionlabv1.TrainingRequest) { r.Epsilon = proto.Float64(-1) }, refusal.InvalidArgument, "eps"},
		"eps is infinite":          {scientist, func(r *bastionlabv1.TrainingRequest) { r.Epsilon = proto.Float64(math.Inf(1)) }, refusal.BudgetExceeded, "remains"},
		"eps over the limit":       {scientist, func(r *bastionlabv1.TrainingRequest) { r.Epsilon = proto.Float64(6.1) }, refusal.BudgetExceeded, ""},
		"epochs are NaN":           {scientist, func(r *bastionlabv1.TrainingRequest) { r.NbEpochs = math.NaN() }, refusal.InvalidArgument, "epochs"},
		"no epochs":                {scientist, func(r *bastionlabv1.TrainingRequest) { r.NbEpochs = 0 }, refusal.InvalidArgument, "epochs"},
		"endless epochs":           {scientist, func(r *bastionlabv1.TrainingRequest) { r.NbEpochs = 20_000 }, refusal.InvalidArgument, "10000 epochs"},
		"no pass":                  {scientist, func(r *bastionlabv1.TrainingRequest) { r.MaxBatchSize = 0 }, refusal.InvalidArgument, "max_batch_size"},
		"batch of nothing":         {scientist, func(r *bastionlabv1.TrainingRequest) { r.BatchSize = proto.Int64(0) }, refusal.InvalidArgument, "batch_size"},
		"batch of more than all":   {scientist, func(r *bastionlabv1.TrainingRequest) { r.BatchSize = proto.Int64(65) }, refusal.InvalidArgument, "batch_size"},
		"no gradient norm":         {scientist, func(r *bastionlabv1.TrainingRequest) { r.MaxGradNorm = 0 }, refusal.InvalidArgument, "max_grad_norm"},
		"gradient norm is NaN":     {scientist, func(r *bastionlabv1.TrainingRequest) { r.MaxGradNorm = math.NaN() }, refusal.InvalidArgument, "max_grad_norm"},
		"delta over its share":     {scientist, func(r *bastionlabv1.TrainingRequest) { r.Delta = proto.Float64(0.5) }, refusal.InvalidArgument, "delta"},
		"delta is NaN":             {scientist, func(r *bastionlabv1.TrainingRequest) { r.Delta = proto.Float64(math.NaN()) }, refusal.InvalidArgument, "delta"},
		"constant time, certified": {scientist, func(r *bastionlabv1.TrainingRequest) { r.ConstantTime, r.Release = true, "certified" }, refusal.InvalidArgument, "constant"},
		"a GPU":                    {scientist, func(r *bastionlabv1.TrainingRequest) { r.Device = "cuda" }, refusal.InvalidArgument, "cpu"},
		"a mode that is not there": {scientist, func(r *bastionlabv1.TrainingRequest) { r.Release = "raw" }, refusal.InvalidArgument, "exact"},
		"no optimizer":             {scientist, func(r *bastionlabv1.TrainingRequest) { r.Optimizer = nil }, refusal.InvalidArgument, "optimizer"},
		"learning rate of nothing": {scientist, func(r *bastionlabv1.TrainingRequest) { r.Optimizer = sgd(&bastionlabv1.SGD{}) }, refusal.InvalidArgument, "lr"},
		"learning rate is NaN":     {scientist, func(r *bastionlabv1.TrainingRequest) { r.Optimizer = sgd(&bastionlabv1.SGD{Lr: math.NaN()}) }, refusal.InvalidArgument, "lr"},
		"beta of one":              {scientist, func(r *bastionlabv1.TrainingRequest) { r.Optimizer = adam(&bastionlabv1.Adam{Lr: 1, Beta1: 1, Eps: 1}) }, refusal.InvalidArgument, "beta1"},
		"momentum is NaN": {scientist, func(r *bastionlabv1.TrainingRequest) {
			r.Optimizer = sgd(&bastionlabv1.SGD{Lr: 1, Momentum: math.NaN()})
		}, refusal.InvalidArgument, "momentum"},
		"Nesterov alone": {scientist, func(r *bastionlabv1.TrainingRequest) { r.Optimizer = sgd(&bastionlabv1.SGD{Lr: 1, Nesterov: true}) }, refusal.InvalidArgument, "Nesterov"},
		"a large request": {scientist, func(r *bastionlabv1.TrainingRequest) {
			r.ProtoReflect().SetUnknown(protowire.AppendBytes([]byte{0xc2, 0x3e}, make([]byte, 5000)))
		}, refusal.InvalidArgument, "at most 4096"},
		"NaN eps without a limit": {scientist, func(r *bastionlabv1.TrainingRequest) { r.DatasetId, r.Epsilon = unlimited, proto.Float64(math.NaN()) }, refusal.InvalidArgument, "eps"},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(m, d, 2)
			test.change(r)
			_, err := w.Plan(t.Context(), test.user, r)
			expectRefusal(t, err, test.kind, test.words)
			_, err = w.Start(t.Context(), test.user, &bastionlabv1.StartTrainingRequest{Request: r})
			expectRefusal(t, err, test.kind, test.words)
		})
	}
	w.expectSpent(d, 0)
}

func TestOnlyThePriceThatWasSeenIsCharged(t *testing.T) {
	w := newWorld(t)
	d := w.upload(6)
	m := w.insertModel(scientist, d)
	plan, err := w.Plan(t.Context(), scientist, request(m, d, 2))
	if err != nil {
		t.Fatal(err)
	}
	start := func(charge []byte) error {
		_, err := w.Start(t.Context(), scientist, &bastionlabv1.StartTrainingRequest{Request: request(m, d, 2), Charge: charge})
		return err
	}
	changed := slices.Clone(plan.GetCharge())
	changed[len(changed)-1]++
	expectRefusal(t, start(changed), refusal.InvalidArgument, "plan again")
	// A lower limit makes a smaller share of delta, and so another price.
	if _, err := w.datasets.LowerLimit(t.Context(), owner, d, 5, ""); err != nil {
		t.Fatal(err)
	}
	expectRefusal(t, start(plan.GetCharge()), refusal.InvalidArgument, "plan again")
	w.expectSpent(d, 0)
	if plan, err = w.Plan(t.Context(), scientist, request(m, d, 2)); err != nil {
		t.Fatal(err)
	}
	// What others spend in between does not change the price, only what remains.
	if err := start(plan.GetCharge()); err != nil {
		t.Error(err)
	}
	if err := start(plan.GetCharge()); err != nil {
		t.Error(err)
	}
	w.expectSpent(d, 4)
}

// What budget() says remains after a limit came is what a plan gets and what the ledger takes, and no more.
func TestPlanAndLedgerAgreeOnWhatRemains(t *testing.T) {
	w := newWorld(t)
	d := w.upload(0)
	m := w.insertModel(scientist, d)
	w.wait(w.start(scientist, request(m, d, 1)).GetId())
	budget, err := w.datasets.LowerLimit(t.Context(), owner, d, 6, "")
	if err != nil || budget.GetRemainingNano() != 5e9 {
		t.Fatalf("budget %v, %v", budget, err)
	}
	_, err = w.Plan(t.Context(), scientist, request(m, d, 5.000000001))
	expectRefusal(t, err, refusal.BudgetExceeded, "5 of 6 (1 is spent)")
	plan, err := w.Plan(t.Context(), scientist, request(m, d, 5))
	if err != nil || plan.GetRemainingAfterNano() != 0 {
		t.Errorf("plan %v, %v", plan, err)
	}
	if run := w.wait(w.start(scientist, request(m, d, 5)).GetId()); run.GetStatus() != completed {
		t.Errorf("the run is %v", run)
	}
}

func TestAModelCheckedAgainstAnotherSchemaIsRefused(t *testing.T) {
	w := newWorld(t)
	d := w.upload(6)
	other := proto.CloneOf(schema)
	other.Inputs[0].Shape = []int64{9}
	kept := schema
	schema = other
	m := w.insertModel(scientist, d)
	schema = kept
	_, err := w.Plan(t.Context(), scientist, request(m, d, 2))
	expectRefusal(t, err, refusal.InvalidArgument, "another schema")
}

func TestNamesThatAreNoneAreRefused(t *testing.T) {
	w := newWorld(t)
	d := w.upload(6)
	for _, start := range []*bastionlabv1.StartTrainingRequest{
		{Name: strings.Repeat("n", 257)}, {Name: "a\x1b[31mred"}, {Name: "two\nlines"}, {Description: strings.Repeat("d", 16<<10+1)}, {Description: "\x00"},
	} {
		start.Request = request(w.insertModel(scientist, d), d, 2)
		_, err := w.Start(t.Context(), scientist, start)
		expectRefusal(t, err, refusal.InvalidArgument, "cannot be printed")
	}
}

func TestAScientistMayHaveSoManyRuns(t *testing.T) {
	w := newWorld(t)
	w.maxRunsOf = 2
	d := w.upload(6)
	m := w.insertModel(scientist, d)
	for range 2 {
		w.wait(w.start(scientist, request(m, d, 1)).GetId())
	}
	_, err := w.Start(t.Context(), scientist, &bastionlabv1.StartTrainingRequest{Request: request(m, d, 1)})
	expectRefusal(t, err, refusal.Unavailable, "you have started 2 runs")
	w.expectSpent(d, 2)
	w.start(stranger, request(w.insertModel(stranger, d), d, 1))
}

func TestEpochEnds(t *testing.T) {
	for name, test := range map[string]struct {
		declared, batch, steps int64
		want                   []int64
	}{
		"the walk-through":         {4459, 45, 199, []int64{100, 199}},
		"even":                     {64, 8, 16, []int64{8, 16}},
		"half an epoch at the end": {64, 8, 12, []int64{8, 12}},
		"less than one epoch":      {64, 8, 3, []int64{3}},
		"one step per epoch":       {64, 64, 3, []int64{1, 2, 3}},
		"odd":                      {10, 4, 8, []int64{3, 5, 8}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := epochEnds(test.declared, test.batch, test.steps); !slices.Equal(got, test.want) {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}
