package trainer

import (
	"bytes"
	"maps"
	"math"
	"slices"
	"testing"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
)

// attempt is one whole run on the same program, records and settings.
func attempt(t *testing.T) *fakeEngine {
	t.Helper()
	engine, payload := &fakeEngine{}, payloadOf(t, nil)
	s := play(t, Train, engine)
	halves := settings(func(s *trainerv1.Settings) {
		s.IncludeAll, s.InclusionThreshold, s.Slots, s.PassSize = false, math.MaxUint64/2, 64, 64
	})
	s.sendTrain(&trainerv1.Train{Program: programOf(payload), Settings: halves}, sealed(t, payload))
	s.receive()
	s.sendData(&trainerv1.Data{Records: 64, RecordBytes: testRecordBytes}, sealed(t, make([]byte, 64*testRecordBytes)), memoryFile(t, nil, 0))
	for s.receive().GetFinished() == nil {
	}
	if err := s.end(); err != nil {
		t.Error(err)
	}
	return engine
}

// PRIVACY: whoever starts the same run twice must not get the same noise twice: the difference of the two would have none. By chance
// a comparison goes wrong once in 2^48 runs.
func TestTwoRunsHaveNothingInCommon(t *testing.T) {
	one, other := attempt(t), attempt(t)
	if len(one.noise) != 4 || len(other.noise) != 4 || len(one.passes) == 0 || len(other.passes) == 0 {
		t.Fatalf("runs of %d and %d steps", len(one.noise), len(other.noise))
	}
	for _, noise := range one.noise {
		if slices.ContainsFunc(other.noise, func(n []byte) bool { return bytes.Equal(n, noise) }) {
			t.Error("they share noise")
		}
	}
	if slices.Equal(one.passes[0], other.passes[0]) {
		t.Error("they sample alike")
	}
	if slices.IsSorted(one.passes[0]) {
		t.Error("records take part in the order of the dataset")
	}
	drawn := slices.Concat(one.seeds...)
	if slices.ContainsFunc(slices.Concat(other.seeds...), func(seed uint64) bool { return slices.Contains(drawn, seed) }) {
		t.Error("their records draw alike")
	}
}

// The loss of an epoch is of one attempt's steps: one that goes on tells nothing of what came before its state.
func TestALossIsOfTheStepsOfOneAttempt(t *testing.T) {
	withLosses := func(s *trainerv1.Settings) { half(s); s.LossBound = 2 }
	told := func(s *server) map[int64]float64 {
		losses := map[int64]float64{}
		for frame := s.receive(); frame.GetFinished() == nil; frame = s.receive() {
			if frame.GetFault() != nil {
				t.Fatalf("got %v", frame)
			}
			if progress := frame.GetProgress(); progress.Loss != nil {
				losses[progress.GetStepsDone()] = progress.GetLoss()
			}
		}
		return losses
	}
	first := begin(t, &fakeEngine{}, withLosses)
	first.giveData(nil)
	if losses := told(first); !maps.Equal(losses, map[int64]float64{2: 1.5, 4: 3.5}) {
		t.Fatalf("told %v", losses)
	}
	// An engine's first two steps have the losses 1 and 2, whatever steps of the run they are.
	for state, want := range map[int]map[int64]float64{0: {2: 1.5, 4: 3.5}, 1: {4: 1.5}} {
		again := begin(t, &fakeEngine{}, withLosses)
		again.giveData(&first.keeper.states[state])
		if losses := told(again); !maps.Equal(losses, want) {
			t.Errorf("from state %d: told %v, want %v", state, losses, want)
		}
	}
}
