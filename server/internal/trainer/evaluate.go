package trainer

import (
	"crypto/rand"
	"fmt"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	"github.com/bastionlab/bastionlab/server/internal/trainer/schedule"
)

// test prepares a test, tells the server so, waits for the records, and measures.
func (p *Process) test() error {
	ready, err := p.prepareTest()
	if err != nil {
		return p.fail(faultOf(err), err)
	}
	defer ready.close()
	if err := p.Seam.Send(&trainerv1.FromTrainer{Frame: &trainerv1.FromTrainer_Prepared{Prepared: &trainerv1.Prepared{}}}); err != nil {
		return err
	}
	sum, err := p.testOnRecords(ready)
	if err != nil {
		return p.fail(bareFault(), err)
	}
	return p.Seam.Send(&trainerv1.FromTrainer{Frame: &trainerv1.FromTrainer_Tested{Tested: &trainerv1.Tested{Sum: sum}}})
}

// evaluation is all that a test has before its records.
type evaluation struct {
	program     Program
	evaluator   Evaluator
	recordBytes int64
	slots       int64
}

func (e *evaluation) close() {
	if e.evaluator != nil {
		e.evaluator.Close()
	}
	e.program.Close()
}

// prepareTest goes through all that can fail without records, so that it fails before anything is charged.
func (p *Process) prepareTest() (_ *evaluation, err error) {
	var request trainerv1.ToTrainer
	files, err := p.Seam.Receive(&request)
	if err != nil {
		return nil, err
	}
	defer closeAll(files)
	test := request.GetTest()
	if test == nil {
		return nil, badRequest("expected a test")
	}
	payloads := 1
	if test.GetHasWeights() {
		payloads++
	}
	if len(files) != payloads {
		return nil, badRequest("expected %d payloads, got %d", payloads, len(files))
	}
	if err := checkTestSettings(test.GetSettings()); err != nil {
		return nil, err
	}
	ready := &evaluation{slots: test.GetSettings().GetSlots()}
	if ready.recordBytes, err = recordBytes(test.GetProgram().GetSchema()); err != nil {
		return nil, err
	}
	if ready.program, err = p.build(test.GetProgram(), files[0]); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			ready.close()
		}
	}()
	// The engine tries a record of zeros.
	if ready.evaluator, err = ready.program.Evaluate(evaluationOf(test.GetSettings())); err != nil {
		return nil, err
	}
	if test.GetHasWeights() {
		err = setWeights(ready.evaluator.ParameterCount(), ready.evaluator.SetParameter, files[1])
	}
	return ready, err
}

// testOnRecords does the whole test. PRIVACY: whatever it returns as an error is told to nobody.
func (p *Process) testOnRecords(test *evaluation) (int64, error) {
	records, _, err := p.receiveRecords(test.recordBytes, test.slots, func(*trainerv1.Data) int { return 0 })
	if err != nil {
		return 0, err
	}
	noise, err := newKeystream(rand.Reader)
	if err != nil {
		return 0, err
	}
	draws, err := newDraws(rand.Reader)
	if err != nil {
		return 0, err
	}
	teller := p.newTeller(schedule.New(nil, false), 0)
	// PRIVACY: every declared slot, empty ones too, so that neither the sum's terms nor the time tell how many are filled.
	for slot := range test.slots {
		if slot >= records.count {
			slot = emptySlot
		}
		if err := test.evaluator.Add(records.bytes, records.count, slot, draws.of(1, []int64{slot})[0]); err != nil {
			return 0, fmt.Errorf("test: %w", err)
		}
		if err := teller.alive(); err != nil {
			return 0, err
		}
	}
	return test.evaluator.Release(noise)
}

// checkTestSettings refuses what the server never means.
func checkTestSettings(s *trainerv1.TestSettings) error {
	switch {
	case s == nil:
		return badRequest("no settings")
	case s.GetSlots() < 1 || s.GetMetric() == "":
		return badRequest("a test needs slots and a metric")
	case s.GetPrivate() && !positive(s.GetNoiseMultiplier()):
		// PRIVACY: a private test without noise does not exist.
		return badRequest("a private test needs a noise multiplier above zero")
	}
	return nil
}

// evaluationOf turns settings into the engine's terms.
func evaluationOf(s *trainerv1.TestSettings) Evaluation {
	evaluation := Evaluation{Metric: s.GetMetric(), Bound: s.GetLossBound(), Private: s.GetPrivate()}
	if evaluation.Private {
		evaluation.NoiseStddev = noiseStddev(s.GetNoiseMultiplier(), 1) // PRIVACY: a record moves the sum by 1 at most
	}
	return evaluation
}
