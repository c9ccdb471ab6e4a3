package trainer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
	"github.com/bastionlab/bastionlab/server/internal/trainer/schedule"
)

// The names of a state's tensors. Parameters and what the optimizer remembers have a prefix before their own names.
const (
	runTensor     = "run"     // which run, and which settings, it is a state of
	stepsTensor   = "steps"   // that are done
	samplesTensor = "samples" // how many slots each step of the epoch has, then the slots, one step after the other, then zeros
	parameterTag  = "parameter."
	optimizerTag  = "optimizer."
)

// epochs hands out the samples of a run's steps. It draws those of a whole epoch before its first step, and does not begin the epoch before
// the server has kept them, with all else that the epoch begins with.
// PRIVACY: where an attempt dies the epoch is repeated with these very samples. If it drew new ones, a model that dies on some
// records could choose which samples its weights are made of.
type epochs struct {
	process  *Process
	trainer  Trainer
	schedule schedule.Schedule
	sampler  *sampler
	run      []byte
	output   *os.File // takes the next state; nil in the last epoch

	remembered  int   // tensors of an optimizer that made a step
	sampleBytes int64 // what the samples of an epoch take at most
	current     schedule.Epoch
	samples     [][]int64 // of its steps; nil where every slot takes part in every step
	every       []int64
}

// sample returns the slots of one step, for the caller to use up.
func (e *epochs) sample(step int64) ([]int64, error) {
	if step > e.current.End {
		if err := e.begin(step - 1); err != nil {
			return nil, err
		}
	}
	if e.sampler.all {
		var err error
		e.every, err = e.sampler.sample(e.every[:0])
		return e.every, err
	}
	return e.samples[step-e.current.Begin-1], nil
}

// begin draws an epoch's samples and waits until the server has kept its state.
func (e *epochs) begin(stepsDone int64) error {
	epoch, ok := e.schedule.EpochFrom(stepsDone)
	if !ok || e.output == nil {
		return errors.New("no epoch begins here")
	}
	samples, err := e.draw(epoch)
	if err != nil {
		return err
	}
	size, err := e.write(epoch, samples)
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if err := e.output.Close(); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	state := &trainerv1.State{StateBytes: size, StepsDone: stepsDone}
	if err := e.process.Seam.Send(&trainerv1.FromTrainer{Frame: &trainerv1.FromTrainer_State{State: state}}); err != nil {
		return err
	}
	if e.output, err = e.process.kept(epoch.End == e.schedule.Steps()); err != nil {
		return err
	}
	e.current, e.samples = epoch, samples
	return nil
}

// kept waits for the word that a state is durable, and returns the file for the next one, unless it was the last.
func (p *Process) kept(last bool) (*os.File, error) {
	var answer trainerv1.ToTrainer
	files, err := p.Seam.Receive(&answer)
	if err != nil {
		return nil, err
	}
	if answer.GetStateKept() == nil || last != (len(files) == 0) || len(files) > 1 {
		closeAll(files)
		return nil, errors.New("expected to hear that the state was kept")
	}
	if last {
		return nil, nil
	}
	return files[0], nil
}

func (e *epochs) draw(epoch schedule.Epoch) ([][]int64, error) {
	if e.sampler.all {
		return nil, nil
	}
	samples := make([][]int64, epoch.End-epoch.Begin)
	for i := range samples {
		var err error
		if samples[i], err = e.sampler.sample(nil); err != nil {
			return nil, err
		}
	}
	return samples, nil
}

func (e *epochs) write(epoch schedule.Epoch, samples [][]int64) (int64, error) {
	tensors, err := stateOf(e.trainer, e.run, epoch.Begin, samples, e.sampleBytes)
	if err != nil {
		return 0, err
	}
	counted := &countingWriter{to: io.NewOffsetWriter(e.output, 0)}
	err = safetensors.Write(counted, tensors)
	return counted.bytes, err
}

// stateOf is all that an epoch begins with, as the tensors of one file. Their data are valid until the trainer computes again.
func stateOf(trainer Trainer, run []byte, stepsDone int64, samples [][]int64, sampleBytes int64) ([]safetensors.Tensor, error) {
	parameters, err := trainer.Parameters()
	if err != nil {
		return nil, err
	}
	remembered, err := trainer.State()
	if err != nil {
		return nil, err
	}
	tensors := []safetensors.Tensor{
		{Name: runTensor, DType: bastionlabv1.DType_DTYPE_U8, Shape: []int64{int64(len(run))}, Data: run},
		{Name: stepsTensor, DType: bastionlabv1.DType_DTYPE_I64, Data: binary.LittleEndian.AppendUint64(nil, uint64(stepsDone))},
	}
	if samples != nil {
		sampled, err := samplesOf(samples, sampleBytes)
		if err != nil {
			return nil, err
		}
		tensors = append(tensors, sampled)
	}
	for _, tensor := range parameters {
		tensor.Name = parameterTag + tensor.Name
		tensors = append(tensors, tensor)
	}
	for _, tensor := range remembered {
		tensor.Name = optimizerTag + tensor.Name
		tensors = append(tensors, tensor)
	}
	return tensors, nil
}

const integerBytes = 8

// samplesOf is as long as for as many slots as an epoch samples at most.
// PRIVACY: whoever sees the disk sees how long its files are, and how many slots were sampled is part of what nobody is to know.
func samplesOf(samples [][]int64, sampleBytes int64) (safetensors.Tensor, error) {
	data := make([]byte, 0, sampleBytes)
	for _, sample := range samples {
		data = binary.LittleEndian.AppendUint64(data, uint64(len(sample)))
	}
	for _, sample := range samples {
		for _, slot := range sample {
			data = binary.LittleEndian.AppendUint64(data, uint64(slot))
		}
	}
	if int64(len(data)) > sampleBytes {
		return safetensors.Tensor{}, errors.New("more slots were sampled than an epoch ever samples")
	}
	return safetensors.Tensor{
		Name: samplesTensor, DType: bastionlabv1.DType_DTYPE_I64, Shape: []int64{sampleBytes / integerBytes}, Data: data[:sampleBytes],
	}, nil
}

// checkStateFits compares what will be written before each epoch with what the process may write. trainer has made a step, so that its
// optimizer remembers all that it ever will.
func (p *Process) checkStateFits(trainer Trainer, settings *trainerv1.Settings) error {
	sampleBytes := schedule.Of(settings).SampleBytes(settings.GetInclusionThreshold(), settings.GetSlots())
	tensors, err := stateOf(trainer, make([]byte, runBytes), 0, [][]int64{}, sampleBytes)
	if err != nil {
		return err
	}
	header, err := safetensors.Header(tensors)
	if err != nil {
		return refuse(trainerv1.Fault_CODE_INCOMPATIBLE_MODEL, "its trainable parameters are too many, or their names too long, to be kept between epochs")
	}
	size := int64(len(header))
	for _, tensor := range tensors {
		size += int64(len(tensor.Data))
	}
	if size > p.OutputLimitBytes {
		return refuse(trainerv1.Fault_CODE_INCOMPATIBLE_MODEL, "what is kept of it between epochs takes %d bytes, far more than its program", size)
	}
	return nil
}
