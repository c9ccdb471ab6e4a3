package planning

import (
	"math"
	"slices"
	"strings"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// PRIVACY: products are summed in float32, of which the smallest is 1e-38. docs/release.md bounds what is lost below it for a clipping norm
// of at least the first.
const (
	minGradNorm = 1e-6
	maxGradNorm = 1e9
)

// check refuses what no account could pay for, each with its own reason.
func (r Request) check() error {
	invalid := func(next, format string, args ...any) error {
		return refusal.New(refusal.InvalidArgument, next, format, args...)
	}
	switch {
	case r.Declared < 1:
		return invalid("upload a dataset with at least one record", "the dataset has no samples")
	case !(r.Epochs > 0) || math.IsInf(r.Epochs, 0):
		return invalid("give nb_epochs above 0", "nb_epochs must be a positive finite number, got %v", r.Epochs)
	case r.MaxBatchSize < 1:
		return invalid("give max_batch_size of at least 1", "max_batch_size must be at least 1, got %d", r.MaxBatchSize)
	case r.BatchSize != nil && *r.BatchSize < 1:
		return invalid("give batch_size of at least 1, or leave it out", "batch_size must be at least 1, got %d", *r.BatchSize)
	case r.BatchSize != nil && *r.BatchSize > r.Declared:
		return invalid("give a smaller batch_size, or leave it out", "batch_size %d exceeds the dataset's %d declared samples", *r.BatchSize, r.Declared)
	case !(r.MaxGradNorm > 0) || math.IsInf(r.MaxGradNorm, 0):
		return invalid("give max_grad_norm above 0; 1.0 is usual", "max_grad_norm must be a positive finite number, got %v", r.MaxGradNorm)
	case r.MaxGradNorm < minGradNorm || r.MaxGradNorm > maxGradNorm:
		return invalid("give a max_grad_norm near the norm of one record's gradient; 1.0 is usual",
			"max_grad_norm must be between %v and %v, got %v", minGradNorm, maxGradNorm, r.MaxGradNorm)
	case !(r.LearningRate >= 0) || math.IsInf(r.LearningRate, 0):
		return invalid("give a learning rate of at least 0", "the learning rate must be a finite number of at least 0, got %v", r.LearningRate)
	}
	return r.checkOffer()
}

// checkOffer refuses what this server does not offer.
func (r Request) checkOffer() error {
	invalid := func(next, format string, args ...any) error {
		return refusal.New(refusal.InvalidArgument, next, format, args...)
	}
	switch {
	case r.Release != "" && r.Release != ReleaseCertified && r.Release != ReleaseExact:
		return invalid(`leave release out, or pass "certified" or "exact"`, "there is no release %q", r.Release)
	case r.ConstantTime && r.Release == ReleaseCertified:
		// A pass of several records on which the model fails is repeated record by record, and that takes longer.
		return invalid(`pass release="exact", or leave release out`, "constant_time makes passes of one record, which release \"certified\" does not")
	case r.ConstantTime && r.Epsilon == nil:
		return invalid("pass constant_time=False", "constant_time hides nothing of a run without noise")
	case r.device() != "" && !slices.Contains(r.Devices, r.Device):
		return invalid(`pass device="cpu", or ask the server's operator, who switches a GPU on with --cuda`,
			"training on %.80q is not offered: this server computes on %s", r.Device, strings.Join(append([]string{CPU}, r.Devices...), " and "))
	case r.Epsilon == nil && r.Limit > 0:
		return invalid("give eps", "this dataset has a privacy limit of %s, so training on it needs an eps", r.Limit)
	case r.Epsilon == nil && r.Delta != nil:
		return invalid("give eps too, or leave delta out", "a delta without an eps means nothing")
	}
	return nil
}
