package planning_test

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/planning"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

func pointer[T any](v T) *T { return &v }

// walkThrough is the run of the README: 4459 messages, a limit of 6.0, two epochs at eps = 2.0 in passes of four.
func walkThrough() planning.Request {
	return planning.Request{
		Account:  planning.Account{Limit: 6_000_000_000, DatasetDelta: accounting.DefaultDelta(4459)},
		Declared: 4459,
		Epochs:   2, Epsilon: pointer(2.0), MaxBatchSize: 4, MaxGradNorm: 1, LearningRate: 5e-4,
	}
}

func mustPrice(t *testing.T, r planning.Request) planning.Plan {
	t.Helper()
	plan, err := planning.Price(r)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func TestTheWalkThroughsPlan(t *testing.T) {
	plan := mustPrice(t, walkThrough())
	if plan.BatchSize != 45 || plan.Steps != 199 || plan.SampleRate != 45.0/4459 {
		t.Errorf("%d x %d steps at rate %v, want 45 x 199 at 45/4459", plan.BatchSize, plan.Steps, plan.SampleRate)
	}
	if !plan.Private || plan.Epsilon != 2_000_000_000 || plan.RemainingAfter != 4_000_000_000 || plan.Unlimited {
		t.Errorf("price %+v", plan)
	}
	if plan.Delta != 1_666_666_666_666 { // 1e-5 / 2 * 2/6
		t.Errorf("delta %s", plan.Delta)
	}
	if plan.Accountant != "pld" || plan.ReleaseMode != "certified" || len(plan.Warnings) != 0 {
		t.Errorf("accountant %q, release %q, warnings %q", plan.Accountant, plan.ReleaseMode, plan.Warnings)
	}
	if plan.Epochs != 2 || plan.MaxBatchSize != 4 || plan.MaxGradNorm != 1 || plan.Seconds <= 0 {
		t.Errorf("plan %+v", plan)
	}
	// The noise is what the price says it is: enough, and hardly more.
	cost := func(noise float64) float64 {
		eps, err := accounting.EpsilonOf([]accounting.Steps{{SampleRate: plan.SampleRate, NoiseMultiplier: noise, Count: plan.Steps}}, plan.Delta.Float())
		if err != nil {
			t.Fatal(err)
		}
		return eps
	}
	if eps := cost(plan.NoiseMultiplier); eps > 2 {
		t.Errorf("the plan costs %v", eps)
	}
	if eps := cost(plan.NoiseMultiplier * 0.999); eps <= 2 {
		t.Errorf("a thousandth less noise would do: %v", eps)
	}
}

func TestTheSameRequestGivesTheSameBytes(t *testing.T) {
	first, second := mustPrice(t, walkThrough()), mustPrice(t, walkThrough())
	if !reflect.DeepEqual(first, second) {
		t.Fatalf("%+v\n%+v", first, second)
	}
	a, errA := planning.Charge(first, "d1", []byte{1, 2})
	b, errB := planning.Charge(second, "d1", []byte{1, 2})
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		t.Fatalf("%x %v\n%x %v", a, errA, b, errB)
	}
	var charge bastionlabv1.Charge
	if err := proto.Unmarshal(a, &charge); err != nil {
		t.Fatal(err)
	}
	want := &bastionlabv1.Charge{
		DatasetId: "d1", ProgramSha256: []byte{1, 2}, Private: true, EpsilonNano: 2_000_000_000, DeltaAtto: 1_666_666_666_666,
		Steps:       []*bastionlabv1.ChargedSteps{{SampleRate: first.SampleRate, NoiseMultiplier: first.NoiseMultiplier, Count: 199}},
		MaxGradNorm: 1, Accountant: "pld", ReleaseMode: "certified",
		GridExponent: 17, Eta: first.Eta,
	}
	if !proto.Equal(&charge, want) {
		t.Errorf("charge %v, want %v", &charge, want)
	}
}

func TestThreeRunsOfTwoAlwaysFitUnderSix(t *testing.T) {
	for _, declared := range []int64{1, 7, 4459, 1_000_003} {
		r := walkThrough()
		r.Declared, r.DatasetDelta, r.BatchSize = declared, accounting.DefaultDelta(declared), pointer(int64(1))
		r.Epochs = 10 / float64(declared)
		for run := 1; run <= 3; run++ {
			plan := mustPrice(t, r)
			r.Spent, r.SpentDelta = r.Spent+plan.Epsilon, r.SpentDelta+plan.Delta
		}
		if r.Spent != r.Limit || 2*r.SpentDelta > r.DatasetDelta {
			t.Errorf("declared %d: spent eps %s and delta %s of %s", declared, r.Spent, r.SpentDelta, r.DatasetDelta)
		}
		_, err := planning.Price(r)
		if refusal.KindOf(err) != refusal.BudgetExceeded {
			t.Errorf("declared %d: a fourth run: %v", declared, err)
		}
	}
}

func TestRunsOfAThirdFitThreeTimes(t *testing.T) {
	r := walkThrough()
	r.Limit, r.Epsilon, r.BatchSize = 1_000_000_000, pointer(1.0/3), pointer(int64(45))
	for range 3 {
		plan := mustPrice(t, r)
		r.Spent, r.SpentDelta = r.Spent+plan.Epsilon, r.SpentDelta+plan.Delta
	}
	if r.Spent != 999_999_999 {
		t.Errorf("spent %d", r.Spent)
	}
}

func TestLoweringTheLimitRaisesTheShareOfWhatIsLeft(t *testing.T) {
	r := walkThrough()
	r.Spent, r.SpentDelta, r.Limit, r.BatchSize = 2_000_000_000, 1_666_666_666_666, 4_000_000_000, pointer(int64(45))
	plan := mustPrice(t, r)
	if plan.Delta != 2_500_000_000_000 || 2*(plan.Delta+r.SpentDelta) > r.DatasetDelta {
		t.Errorf("delta %s", plan.Delta)
	}
}

func TestBudgetExceeded(t *testing.T) {
	cases := map[string]struct {
		change func(*planning.Request)
		want   refusal.Budget
		says   string
	}{
		"six after two": {
			func(r *planning.Request) {
				r.Spent, r.SpentDelta, r.Epsilon = 2_000_000_000, 1_666_666_666_666, pointer(6.0)
			},
			refusal.Budget{LimitNano: 6e9, SpentNano: 2e9, RequestedNano: 6e9, RemainingNano: 4e9},
			"a run of eps 4 or less would fit",
		},
		"more than the limit": {
			func(r *planning.Request) { r.Epsilon = pointer(6.000000001) },
			refusal.Budget{LimitNano: 6e9, RequestedNano: 6_000_000_001, RemainingNano: 6e9},
			"a run of eps 6 or less would fit",
		},
		"nothing left": {
			func(r *planning.Request) { r.Spent, r.Epsilon = 6_000_000_000, pointer(0.5) },
			refusal.Budget{LimitNano: 6e9, SpentNano: 6e9, RequestedNano: 5e8},
			"cannot be trained on any more",
		},
		"less left than a run may have": {
			func(r *planning.Request) { r.Spent, r.Epsilon = 5_999_500_000, pointer(0.5) },
			refusal.Budget{LimitNano: 6e9, SpentNano: 5_999_500_000, RequestedNano: 5e8, RemainingNano: 500_000},
			"cannot be trained on any more",
		},
		"limit lowered below what was spent": {
			func(r *planning.Request) { r.Spent, r.Limit = 2_000_000_000, 1_000_000_000 },
			refusal.Budget{LimitNano: 1e9, SpentNano: 2e9, RequestedNano: 2e9},
			"cannot be trained on any more",
		},
		"trained without noise before": {
			func(r *planning.Request) { r.Infinite = true },
			refusal.Budget{LimitNano: 6e9, RequestedNano: 2e9},
			"cannot be trained on any more",
		},
		"far too much": {
			func(r *planning.Request) { r.Epsilon = pointer(1e300) },
			refusal.Budget{LimitNano: 6e9, RequestedNano: math.MaxInt64, RemainingNano: 6e9},
			"a run of eps 6 or less would fit",
		},
		"delta gone": {
			func(r *planning.Request) { r.SpentDelta = 4_000_000_000_000 },
			refusal.Budget{LimitNano: 6e9, RequestedNano: 2e9, RemainingNano: 12e8},
			"left only 1e-06 of the dataset's delta, and this run's is 1.666666666666e-06; spent: nothing; a run of eps 1.2 or less would fit; " +
				"with a delta of 1e-06 or less given, a run of eps 6 or less would fit",
		},
		"delta gone altogether, as releases before took it without a limit": {
			func(r *planning.Request) { r.Spent, r.SpentDelta = 1_000_000_000, r.DatasetDelta },
			refusal.Budget{LimitNano: 6e9, SpentNano: 1e9, RequestedNano: 2e9},
			"left only 0 of the dataset's delta, and this run's is 1.666666666666e-06; spent: nothing; nothing is left that a run could use",
		},
	}
	for name, c := range cases {
		r := walkThrough()
		c.change(&r)
		_, err := planning.Price(r)
		refused, ok := err.(*refusal.Error)
		if !ok || refused.Kind != refusal.BudgetExceeded || refused.Budget == nil || *refused.Budget != c.want || refused.Spent != refusal.Nothing {
			t.Errorf("%s: %+v, budget %+v", name, err, budgetOf(refused))
			continue
		}
		if !strings.Contains(refused.Error(), c.says) {
			t.Errorf("%s: %q does not say %q", name, refused.Error(), c.says)
		}
	}
}

func budgetOf(refused *refusal.Error) any {
	if refused == nil {
		return nil
	}
	return refused.Budget
}

func TestInvalidRequests(t *testing.T) {
	type request = planning.Request
	cases := map[string]struct {
		change func(*request)
		says   string
	}{
		"eps not a number":          {func(r *request) { r.Epsilon = pointer(math.NaN()) }, "eps must be a positive finite number, got NaN"},
		"eps negative":              {func(r *request) { r.Epsilon = pointer(-1.0) }, "eps must be a positive finite number, got -1"},
		"eps minus infinity":        {func(r *request) { r.Epsilon = pointer(math.Inf(-1)) }, "eps must be"},
		"eps zero":                  {func(r *request) { r.Epsilon = pointer(0.0) }, "eps must be"},
		"eps tiny":                  {func(r *request) { r.Epsilon = pointer(0.0009) }, "at least 0.001"},
		"eps infinite, no limit":    {func(r *request) { r.Limit, r.Epsilon = 0, pointer(math.Inf(1)) }, "eps must be"},
		"no eps":                    {func(r *request) { r.Epsilon = nil }, "privacy limit of 6"},
		"delta without eps":         {func(r *request) { r.Limit, r.Epsilon, r.Delta = 0, nil, pointer(1e-6) }, "a delta without an eps"},
		"delta not a number":        {func(r *request) { r.Delta = pointer(math.NaN()) }, "delta must be"},
		"delta zero":                {func(r *request) { r.Delta = pointer(0.0) }, "delta must be"},
		"delta larger":              {func(r *request) { r.Delta = pointer(1.7e-6) }, "exceeds this run's share"},
		"delta larger, no limit":    {func(r *request) { r.Limit, r.Delta = 0, pointer(1.1e-5) }, "exceeds this run's share"},
		"share vanishes":            {func(r *request) { r.Limit, r.DatasetDelta = 1e15, 1e5 }, "share of delta below"},
		"epochs zero":               {func(r *request) { r.Epochs = 0 }, "nb_epochs"},
		"epochs negative":           {func(r *request) { r.Epochs = -2 }, "nb_epochs"},
		"epochs not a number":       {func(r *request) { r.Epochs = math.NaN() }, "nb_epochs"},
		"epochs infinite":           {func(r *request) { r.Epochs = math.Inf(1) }, "nb_epochs"},
		"far too many epochs":       {func(r *request) { r.Epochs = 1e300 }, "more than 100000000 steps"},
		"too many epochs":           {func(r *request) { r.Epochs, r.BatchSize = 1e5, pointer(int64(1)) }, "more than 100000000 steps"},
		"max_batch_size zero":       {func(r *request) { r.MaxBatchSize = 0 }, "max_batch_size"},
		"max_batch_size negative":   {func(r *request) { r.MaxBatchSize = -4 }, "max_batch_size"},
		"batch_size zero":           {func(r *request) { r.BatchSize = pointer(int64(0)) }, "batch_size must be"},
		"batch_size too large":      {func(r *request) { r.BatchSize = pointer(int64(4460)) }, "exceeds the dataset's 4459"},
		"max_grad_norm zero":        {func(r *request) { r.MaxGradNorm = 0 }, "max_grad_norm"},
		"max_grad_norm negative":    {func(r *request) { r.MaxGradNorm = -1 }, "max_grad_norm"},
		"max_grad_norm NaN":         {func(r *request) { r.MaxGradNorm = math.NaN() }, "max_grad_norm"},
		"max_grad_norm too small":   {func(r *request) { r.MaxGradNorm = 1e-7 }, "max_grad_norm"},
		"max_grad_norm too large":   {func(r *request) { r.MaxGradNorm = 1e10 }, "max_grad_norm"},
		"max_grad_norm infinite":    {func(r *request) { r.MaxGradNorm = math.Inf(1) }, "max_grad_norm"},
		"learning rate NaN":         {func(r *request) { r.LearningRate = math.NaN() }, "learning rate"},
		"learning rate negative":    {func(r *request) { r.LearningRate = -1e-3 }, "learning rate"},
		"no records":                {func(r *request) { r.Declared = 0 }, "no samples"},
		"losses of one class":       {func(r *request) { r.Metrics, r.Loss, r.Classes = true, "cross_entropy", 1 }, "pass metrics=False"},
		"losses of unknown classes": {func(r *request) { r.Metrics, r.Loss = true, "cross_entropy" }, "pass metrics=False"},
		"noise beyond the grid":     {func(r *request) { r.Trainable, r.Epsilon = 1<<40, pointer(0.001) }, "does not fit into the integers"},
		"release unheard of":        {func(r *request) { r.Release = "raw" }, `there is no release "raw"`},
		"gpu":                       {func(r *request) { r.Device = "cuda" }, `pass device="cpu"`},
		"no noise, fine batch size": {func(r *request) { r.Limit, r.Epsilon, r.BatchSize = 0, nil, pointer(int64(-1)) }, "batch_size must be"},
	}
	for name, c := range cases {
		r := walkThrough()
		c.change(&r)
		plan, err := planning.Price(r)
		refused, ok := err.(*refusal.Error)
		if !ok || refused.Kind != refusal.InvalidArgument || refused.Next == "" || refused.Spent != refusal.Nothing {
			t.Errorf("%s: %+v, %v; want a refusal that says what to do", name, plan, err)
			continue
		}
		if !strings.Contains(refused.Error(), c.says) {
			t.Errorf("%s: %q does not say %q", name, refused.Error(), c.says)
		}
	}
}

func TestADatasetWithoutALimit(t *testing.T) {
	r := walkThrough()
	r.Limit, r.DatasetDelta = 0, 0
	plan := mustPrice(t, r)
	if !plan.Private || !plan.Unlimited || plan.Delta != 1e12 || plan.RemainingAfter != 0 {
		t.Errorf("with eps: %+v", plan)
	}
	r.Epsilon = nil
	plan = mustPrice(t, r)
	if plan.Private || plan.NoiseMultiplier != 0 || plan.Epsilon != 0 || plan.Delta != 0 || plan.Accountant != "" || plan.BatchSize != 4 || plan.Steps != 2230 || plan.ReleaseMode != "plain" {
		t.Errorf("without eps: %+v", plan)
	}
	if len(plan.Warnings) == 0 || !strings.Contains(plan.Warnings[0], "without noise") {
		t.Errorf("warnings %q", plan.Warnings)
	}
}

// What a refusal says would fit, fits: with the ordinary share of delta, and with the smaller one that it names.
func TestWhatARefusalSaysWouldFitFits(t *testing.T) {
	r := walkThrough()
	r.SpentDelta, r.BatchSize = 4_000_000_000_000, pointer(int64(45))
	r.Epsilon = pointer(1.2)
	if plan := mustPrice(t, r); plan.RemainingAfter > 1 { // the share of the last unit of eps is rounded down to nothing
		t.Errorf("remaining after it: %s", plan.RemainingAfter)
	}
	r.Epsilon, r.Delta = pointer(6.0), pointer(1e-6)
	if plan := mustPrice(t, r); plan.RemainingAfter != 0 || plan.Delta != 1e12 {
		t.Errorf("plan %+v", plan)
	}
}

// Runs on a dataset without a limit take shares as if it had one, so that a limit that comes later leaves what it says.
func TestALimitThatComesLaterIsUsable(t *testing.T) {
	for name, test := range map[string]struct {
		before []float64
		limit  accounting.Epsilon
		after  accounting.Epsilon // 0: less than a run may have
	}{
		"one run":               {[]float64{1}, 6e9, 5e9},
		"several runs":          {[]float64{1, 0.001, 2.5}, 6e9, 2_499_000_000},
		"the assumed limit":     {[]float64{1, 2}, 10e9, 7e9},
		"more than the limit":   {[]float64{7}, 6e9, 0},
		"above the assumed one": {[]float64{50}, 100e9, 0}, // its run took all of delta
	} {
		r := walkThrough()
		r.Limit, r.BatchSize = 0, pointer(int64(45))
		for _, eps := range test.before {
			r.Epsilon = &eps
			plan := mustPrice(t, r)
			r.Spent, r.SpentDelta = r.Spent+plan.Epsilon, r.SpentDelta+plan.Delta
		}
		r.Limit = test.limit
		remaining := accounting.Remaining(r.Limit, r.Spent, r.DatasetDelta, r.SpentDelta)
		if remaining != test.after && (test.after > 0 || remaining >= planning.MinEpsilon) {
			t.Errorf("%s: %s remains, want %s", name, remaining, test.after)
		}
		if test.after == 0 {
			continue
		}
		r.Epsilon = pointer(remaining.Float())
		if plan := mustPrice(t, r); plan.Epsilon != remaining || plan.RemainingAfter != 0 {
			t.Errorf("%s: %+v", name, plan)
		}
	}
}

func TestWarnings(t *testing.T) {
	r := walkThrough()
	r.LearningRate = 5e-6
	if said := mustPrice(t, r).Warnings; len(said) != 1 || !strings.Contains(said[0], "0.001") {
		t.Errorf("tiny learning rate: %q", said)
	}
	r = walkThrough()
	r.Limit, r.Epsilon, r.BatchSize, r.Epochs = 1e15, pointer(1e5), pointer(int64(4459)), 1
	r.LearningRate = 0.1
	plan := mustPrice(t, r)
	if plan.Accountant != "rdp" || len(plan.Warnings) != 1 || !strings.Contains(plan.Warnings[0], "coarser") {
		t.Errorf("eps 1e5: %+v", plan)
	}
}

func TestASmallerDeltaCostsNoise(t *testing.T) {
	r := walkThrough()
	r.BatchSize = pointer(int64(45))
	usual := mustPrice(t, r)
	r.Delta = pointer(1e-8)
	plan := mustPrice(t, r)
	if plan.Delta != 1e10 || plan.NoiseMultiplier <= usual.NoiseMultiplier {
		t.Errorf("delta %s, noise %v against %v", plan.Delta, plan.NoiseMultiplier, usual.NoiseMultiplier)
	}
}

func TestAnyEpsFromTheSmallestToTheLimitIsPlanned(t *testing.T) {
	for _, eps := range []float64{0.001, 0.02, 1, 5.999999999, 6} {
		r := walkThrough()
		r.Epsilon = pointer(eps)
		if plan := mustPrice(t, r); plan.NoiseMultiplier <= 0 || plan.Accountant != "pld" {
			t.Errorf("eps %v: %+v", eps, plan)
		}
	}
}
