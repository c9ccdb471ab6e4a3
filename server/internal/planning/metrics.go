package planning

import (
	"math"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// lossShare is the part of a record's squared norm that its loss may have; its gradient has the rest.
const lossShare = 0.05

// lossBound is B, up to which a record's loss counts in a metric. It is public: a function of the loss and of the shape of the model's output.
// PRIVACY: whatever B is, the loss is scaled by it to fit into its part of the clipping norm, so no claim rests on it.
func lossBound(loss string, classes int64) (float64, error) {
	switch loss {
	case "cross_entropy":
		if classes < 2 {
			return 0, refusal.New(refusal.InvalidArgument, "give the model's output two classes or more, or pass metrics=False",
				"a loss of cross_entropy is measured up to twice that of guessing among the output's classes, and they are %d", classes)
		}
		return 2 * math.Log(float64(classes)), nil
	case "bce_with_logits":
		return 2, nil
	case "l1", "l2", "mse":
		return 10, nil
	}
	return 0, refusal.New(refusal.InvalidArgument, "choose accuracy, or one of bce_with_logits, cross_entropy, l1, l2, mse", "there is no metric %q", loss)
}

// LossError is the standard error of the mean loss of an epoch of so many steps: that of its noise.
func (p Plan) LossError(steps int64) float64 {
	return p.NoiseMultiplier * (1 + p.Eta) * p.LossBound / math.Sqrt(lossShare) / float64(p.BatchSize) / math.Sqrt(float64(steps))
}

// TestValue is what a test's sum, in units of 2^-30, says, and its standard error: that of its noise.
// PRIVACY: it is divided by the declared slots, never by the true count.
func (p Plan) TestValue(sum int64) (value, standardError float64) {
	scale := 1.0
	if p.LossBound > 0 {
		scale = p.LossBound
	}
	slots := float64(p.BatchSize)
	return scale * (math.Ldexp(float64(sum), -testGrid) / slots), scale * p.NoiseMultiplier / slots
}
