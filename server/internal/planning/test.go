package planning

import (
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// TestRequest is a test as its scientist wants it, on an account as it stands: one number, the sum over all declared slots of a value between
// 0 and 1 of each record.
type TestRequest struct {
	Account
	Declared int64

	Metric  string   // "accuracy", or a loss
	Loss    string   // of the model
	Classes int64    // the last dimension of the model's output
	Epsilon *float64 // nil: without noise, on a dataset without a limit only

	Parameters int64 // of the model, for the estimate of time; 0: unknown

	Accountant Accountant // nil: the package accounting
}

// Accuracy is the metric that is no loss.
const Accuracy = "accuracy"

// testGrid: a record's value is an integer between 0 and 2^testGrid, one record per pass, and the noise is an integer too. The engine's is
// BL_METRIC_BITS.
const testGrid = 30

// PriceTest prices a test or refuses it. It is the Gaussian mechanism of sensitivity 1 with every slot in its one step; the plan's batch is
// all slots.
func PriceTest(r TestRequest) (Plan, error) {
	plan := Plan{
		SampleRate: 1, Steps: 1, BatchSize: r.Declared, MaxBatchSize: 1, Metric: r.Metric,
		Unlimited: r.Limit == 0, ReleaseMode: ReleasePlain,
	}
	var err error
	if plan.LossBound, err = r.bound(); err != nil {
		return Plan{}, err
	}
	switch {
	case r.Declared < 1:
		return Plan{}, refusal.New(refusal.InvalidArgument, "test on a dataset with at least one record", "the dataset has no samples")
	case r.Epsilon == nil && r.Limit > 0:
		return Plan{}, refusal.New(refusal.InvalidArgument, "give eps", "this dataset has a privacy limit of %s, so testing on it needs an eps of its own", r.Limit)
	case r.Epsilon != nil:
		err = plan.withTestNoise(r)
	default:
		plan.Warnings = []string{"testing without noise: nothing protects the records, and from then on the dataset's budget counts as infinite"}
	}
	plan.Seconds = estimateTestSeconds(r)
	return plan, err
}

// bound is 0 for accuracy.
func (r TestRequest) bound() (float64, error) {
	if r.Metric != Accuracy {
		return lossBound(r.Metric, r.Classes)
	}
	if r.Loss != "cross_entropy" && r.Loss != "bce_with_logits" {
		return 0, refusal.New(refusal.InvalidArgument, "choose a loss for the metric, or train with cross_entropy or bce_with_logits",
			"accuracy is about classes, and a model with the loss %s tells none", r.Loss)
	}
	return 0, nil
}

func (p *Plan) withTestNoise(r TestRequest) error {
	if err := p.pay(r.Account, asked{epsilon: r.Epsilon, declared: r.Declared}); err != nil {
		return err
	}
	p.ReleaseMode, p.GridExponent = ReleaseExact, testGrid
	return p.calibrate(r.Account, orComputed(r.Accountant))
}
