package accounting

import (
	"math"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// noiseSearch looks for the least grade of noise that meets an epsilon.
type noiseSearch struct {
	sampleRate float64
	steps      int64
	eps, delta float64
	slack      float64 // of the bounds, see evaluate
	width      int64   // how close, in grades, the ends have to come

	below, enough int64 // a grade that misses eps and one that meets it
	missed, met   Bound // their bounds; no method while not known
}

// run brackets eps from the grade start on, with strides that double, and closes in on it.
func (s *noiseSearch) run(start, stride int64) error {
	s.missed, s.met = Bound{}, Bound{}
	for at := clampGrade(start); ; stride *= 2 {
		if err := s.try(at); err != nil {
			return err
		}
		switch {
		case s.missed.Method != "" && s.met.Method != "":
			return s.close()
		case s.missed.Method == "" && at == lowestGrade:
			return nil // less noise is not offered
		case s.met.Method == "" && at == highestGrade:
			return refusal.New(refusal.InvalidArgument, "ask for a larger eps or fewer steps", "no noise multiplier up to 1e15 reaches eps %v", s.eps)
		case s.missed.Method == "":
			at = clampGrade(at - stride)
		default:
			at = clampGrade(at + stride)
		}
	}
}

func (s *noiseSearch) close() error {
	for turn := 0; s.enough-s.below > s.width; turn++ {
		at := s.below + (s.enough-s.below)/2
		if turn%3 < 2 { // every third turn halves, whatever the shape of the curve
			at = s.secant()
		}
		if err := s.try(at); err != nil {
			return err
		}
	}
	return nil
}

func (s *noiseSearch) try(grade int64) error {
	bound, err := evaluate([]Steps{{s.sampleRate, noiseOf(grade), s.steps}}, s.delta, s.slack)
	if err != nil {
		return err
	}
	// PRIVACY: only a grade whose own bound meets eps is ever the answer.
	if bound.Epsilon <= s.eps {
		s.enough, s.met = grade, bound
	} else {
		s.below, s.missed = grade, bound
	}
	return nil
}

// secant guesses the grade as if ln(eps) fell linearly with ln(noise).
func (s *noiseSearch) secant() int64 {
	if !(s.met.Epsilon > 0) {
		return s.below + (s.enough-s.below)/2
	}
	low, high := math.Log(noiseOf(s.below)), math.Log(noiseOf(s.enough))
	part := math.Log(s.missed.Epsilon/s.eps) / math.Log(s.missed.Epsilon/s.met.Epsilon)
	at := gradeOf(math.Exp(low+part*(high-low))) + 1 // the grade above the root is wanted
	// Near an end, step over it by a little: the bracket then closes from the other side.
	return min(max(at, s.below+s.width/4, s.below+1), s.enough-s.width/4, s.enough-1)
}
