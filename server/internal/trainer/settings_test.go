package trainer

import (
	"testing"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
)

// PRIVACY: the noise multiplier was solved for a sensitivity of one; what a record can move is C (1 + eta).
func TestTheNoiseCoversWhatRoundingMayAdd(t *testing.T) {
	for _, eta := range []float64{0, 0.25} {
		made := trainingOf(settings(func(s *trainerv1.Settings) { s.Eta = eta }))
		want := 3 * 2 * (1 + eta)
		if made.NoiseStddev < want || made.NoiseStddev > want*(1+1e-12) {
			t.Errorf("eta %v: noise of %v, want %v or a little more", eta, made.NoiseStddev, want)
		}
	}
}
