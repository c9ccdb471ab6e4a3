package trainer

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"os"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	"github.com/bastionlab/bastionlab/server/internal/program"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
)

// train prepares a run, tells the server so, waits for the records, and trains.
func (p *Process) train() error {
	run, err := p.prepare()
	if err != nil {
		return p.fail(faultOf(err), err)
	}
	defer run.close()
	if err := p.Seam.Send(&trainerv1.FromTrainer{Frame: &trainerv1.FromTrainer_Prepared{Prepared: &trainerv1.Prepared{}}}); err != nil {
		return err
	}
	finished, err := p.trainOnRecords(run)
	if err != nil {
		return p.fail(bareFault(), err)
	}
	return p.Seam.Send(&trainerv1.FromTrainer{Frame: &trainerv1.FromTrainer_Finished{Finished: finished}})
}

// run is all that a training run has before its records.
type run struct {
	program     Program
	trainer     Trainer
	recordBytes int64
	settings    *trainerv1.Settings
	remembered  int // tensors of an optimizer that made a step
}

func (r *run) close() {
	if r.trainer != nil {
		r.trainer.Close()
	}
	r.program.Close()
}

// build makes a program of the canonical one in the payload.
func (p *Process) build(announced *trainerv1.Program, payload *os.File) (Program, error) {
	content, err := announcedBytes(payload, "program", announced.GetPayloadSha256(), announced.GetPayloadBytes())
	if err != nil {
		return nil, err
	}
	canonical, err := program.Decode(content)
	if err != nil {
		return nil, misjudged(err)
	}
	// SECURITY: the server has judged these very bytes. It is done again here, where the data will be: the process that computes on
	// records stands by its own judgement.
	if err := canonical.Judge(p.Operators, announced.GetSchema(), announced.GetLoss()); err != nil {
		return nil, misjudged(err)
	}
	if err := canonical.JudgeDevice(p.Engine.Device()); err != nil {
		return nil, misjudged(err)
	}
	return p.Engine.Build(canonical.Graph, canonical.Tensors, p.Operators.Allowed())
}

// misjudged is about a program that the server took, or should have refused: another release has changed its mind about an operator or
// about the form. The table's reasons are passed on; in all other cases to upload the model again is what helps.
func misjudged(err error) error {
	if refusal.KindOf(err) == refusal.IncompatibleModel {
		return err
	}
	return refuse(trainerv1.Fault_CODE_DIGEST_MISMATCH, "the program is none that this trainer takes: %v", err)
}

func (p *Process) prepare() (*run, error) {
	var request trainerv1.ToTrainer
	files, err := p.Seam.Receive(&request)
	if err != nil {
		return nil, err
	}
	defer closeAll(files)
	train := request.GetTrain()
	if train == nil {
		return nil, badRequest("expected a training run")
	}
	payloads := 1
	if train.GetHasInitialWeights() {
		payloads++
	}
	if len(files) != payloads {
		return nil, badRequest("expected %d payloads, got %d", payloads, len(files))
	}
	if err := checkSettings(train.GetSettings()); err != nil {
		return nil, err
	}
	// PRIVACY: what runs where the owner permitted it, runs there.
	if asked := cmp.Or(train.GetSettings().GetDevice(), program.CPU); asked != p.Engine.Device() {
		return nil, badRequest("the run is to be computed on %s, and this trainer computes on %s", asked, p.Engine.Device())
	}
	recordBytes, err := recordBytes(train.GetProgram().GetSchema())
	if err != nil {
		return nil, err
	}
	built, err := p.build(train.GetProgram(), files[0])
	if err != nil {
		return nil, err
	}
	ready := &run{program: built, recordBytes: recordBytes, settings: train.GetSettings()}
	if err := p.rehearse(ready, train, files); err != nil {
		ready.close()
		return nil, err
	}
	return ready, nil
}

// rehearse goes through all that can fail without records, so that it fails before anything is charged.
func (p *Process) rehearse(run *run, train *trainerv1.Train, files []*os.File) (err error) {
	if err := run.program.Rehearse(run.settings.GetPassSize()); err != nil {
		return err
	}
	if err := p.rehearseSteps(run); err != nil {
		return err
	}
	if run.trainer, err = run.program.Train(trainingOf(run.settings)); err != nil {
		return err
	}
	if train.GetHasInitialWeights() {
		parameters, err := run.trainer.Parameters()
		if err != nil {
			return err
		}
		if err := setWeights(len(parameters), run.trainer.SetParameter, files[1]); err != nil {
			return err
		}
	}
	return p.checkOutputFits(run.trainer)
}

// rehearsedSteps: the optimizer makes room for its state in the first step, and the second pass is the first to run beside it.
const rehearsedSteps = 2

// rehearseSteps makes steps with a trainer that is thrown away, on a record of zeros: what does not fit into memory shows here.
func (p *Process) rehearseSteps(run *run) error {
	trainer, err := run.program.Train(trainingOf(run.settings))
	if err != nil {
		return err
	}
	defer trainer.Close()
	failed, err := makeSteps(trainer, run)
	if err != nil {
		return err
	}
	// What fails on zeros there, and did not without a record, is the device's doing: every pass of the run would fail, and it would be paid.
	if failed && p.Engine.Device() != program.CPU {
		return &Failure{Status: IncompatibleModel, Reason: zerosFail}
	}
	remembered, err := trainer.State()
	run.remembered = len(remembered)
	return errors.Join(err, p.checkStateFits(trainer, run.settings))
}

// zerosFail is why a device is not computed on.
const zerosFail = "a pass over a record of zeros fails on the device"

// makeSteps makes steps on zeros, and says whether a pass of them failed.
func makeSteps(trainer Trainer, run *run) (failed bool, err error) {
	noise, err := newKeystream(rand.Reader)
	if err != nil {
		return false, err
	}
	record, slots := make([]byte, run.recordBytes), make([]int64, run.settings.GetPassSize())
	for range rehearsedSteps {
		passFailed, err := trainer.Pass(record, 1, slots, make([]uint64, len(slots)))
		if err != nil {
			return false, err
		}
		failed = failed || passFailed
		if err := trainer.Step(noise); err != nil {
			return false, err
		}
	}
	return failed, nil
}

// checkOutputFits compares what will be written at the end with what the process may write.
func (p *Process) checkOutputFits(trainer Trainer) error {
	parameters, err := trainer.Parameters()
	if err != nil {
		return err
	}
	header, err := safetensors.Header(parameters)
	if err != nil {
		return fmt.Errorf("weights: %w", err)
	}
	size := int64(len(header))
	for _, parameter := range parameters {
		size += int64(len(parameter.Data))
	}
	if size > p.OutputLimitBytes {
		return refuse(trainerv1.Fault_CODE_INCOMPATIBLE_MODEL, "its trained parameters take %d bytes, far more than its program", size)
	}
	return nil
}
