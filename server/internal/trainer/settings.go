package trainer

import (
	"math"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
)

// checkSettings refuses what the server never means. The server is trusted; a trainer that runs on nonsense is not.
func checkSettings(s *trainerv1.Settings) error {
	switch {
	case s == nil:
		return badRequest("no settings")
	case s.GetSlots() < 1 || s.GetSteps() < 1 || s.GetBatchSize() < 1 || s.GetPassSize() < 1:
		return badRequest("slots, steps, batch size and pass size must be positive")
	case !s.GetIncludeAll() && s.GetInclusionThreshold() == 0:
		return badRequest("no slot would ever be sampled")
	case !(s.GetLossBound() >= 0) || math.IsInf(s.GetLossBound(), 1):
		return badRequest("the losses' bound must not be negative")
	case s.GetOptimizer().GetKind() == nil:
		return badRequest("no optimizer")
	case s.GetPrivate() && !(positive(s.GetMaxGradNorm()) && positive(s.GetNoiseMultiplier())):
		// PRIVACY: a private run without a bound or without noise does not exist.
		return badRequest("a private run needs a gradient norm and a noise multiplier above zero")
	case s.GetPrivate() && !s.GetExact() && s.GetEta() == 0:
		return badRequest("a certified release has an eta")
	case s.GetPassesPerStep() < 0 || s.GetPassesPerStep() > s.GetSlots() || (s.GetPassesPerStep() > 0 && s.GetPassSize() != 1):
		return badRequest("passes in constant time are of one record, and no more than slots")
	case s.GetPrivate() && !(s.GetEta() >= 0 && s.GetEta() < 1):
		return badRequest("eta must lie between 0 and 1")
	}
	return checkEpochEnds(s.GetEpochEnds(), s.GetSteps())
}

func checkEpochEnds(ends []int64, steps int64) error {
	last := int64(0)
	for _, end := range ends {
		if end < last || end < 1 {
			return badRequest("epochs end out of order")
		}
		last = end
	}
	if last != steps {
		return badRequest("the last epoch does not end with the last step")
	}
	return nil
}

func positive(v float64) bool { return v > 0 && !math.IsInf(v, 1) }

// trainingOf turns settings into the engine's terms.
func trainingOf(s *trainerv1.Settings) Training {
	training := Training{
		PassSize:   s.GetPassSize(),
		Private:    s.GetPrivate(),
		Normalizer: float64(s.GetBatchSize()),
		LossBound:  s.GetLossBound(),
		Optimizer:  s.GetOptimizer(),
	}
	if training.Private {
		training.ClippingNorm = s.GetMaxGradNorm()
		training.Exact, training.GridExponent = s.GetExact(), s.GetGridExponent()
		// PRIVACY: what one record can move, rounding included, times the multiplier that was solved for.
		training.NoiseStddev = noiseStddev(s.GetNoiseMultiplier(), s.GetMaxGradNorm()*(1+s.GetEta()))
	}
	return training
}
