package trainer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
	"github.com/bastionlab/bastionlab/server/internal/trainer/schedule"
)

// runBytes is the length of the name that binds a state to its run and its settings.
const runBytes = 32

// errState says no more: what is wrong with a state is for nobody.
var errState = errors.New("the state to go on from is none of this run")

// resume brings trainer and epochs to where an earlier attempt was when it began an epoch, samples included.
func (e *epochs) resume(data *trainerv1.Data, file *os.File) error {
	content, err := announcedBytes(file, "state", data.GetResumedSha256(), data.GetResumedBytes())
	if err != nil {
		return err
	}
	tensors, err := safetensors.Decode(content)
	if err != nil {
		return errState
	}
	state := map[string]safetensors.Tensor{}
	for _, tensor := range tensors {
		state[tensor.Name] = tensor
	}
	// SECURITY: the digest says that it is what the server kept; this, that it was kept for this run, under these settings.
	if !isRun(state[runTensor], e.run) {
		return errState
	}
	steps, err := integersOf(state[stepsTensor], 0)
	if err != nil || steps[0] != data.GetResumedSteps() {
		return errState
	}
	epoch, ok := e.schedule.EpochFrom(steps[0])
	if !ok {
		return errState
	}
	if e.samples, err = e.samplesIn(state[samplesTensor], epoch); err != nil {
		return err
	}
	e.current = epoch
	if epoch.Begin == 0 {
		e.remembered = 0
	}
	return setState(e.trainer, tensors, e.remembered)
}

func isRun(tensor safetensors.Tensor, run []byte) bool {
	return tensor.DType == bastionlabv1.DType_DTYPE_U8 && len(tensor.Shape) == 1 && bytes.Equal(tensor.Data, run)
}

// integersOf reads a list of numbers, or one.
func integersOf(tensor safetensors.Tensor, rank int) ([]int64, error) {
	if tensor.DType != bastionlabv1.DType_DTYPE_I64 || len(tensor.Shape) != rank {
		return nil, errState
	}
	numbers := make([]int64, len(tensor.Data)/integerBytes)
	for i := range numbers {
		numbers[i] = int64(binary.LittleEndian.Uint64(tensor.Data[i*integerBytes:]))
	}
	return numbers, nil
}

// samplesIn reads an epoch's samples and checks that they are such: one for each step, of slots that there are, in ascending order.
func (e *epochs) samplesIn(tensor safetensors.Tensor, epoch schedule.Epoch) ([][]int64, error) {
	if e.sampler.all {
		if tensor.Name != "" {
			return nil, errState
		}
		return nil, nil
	}
	numbers, err := integersOf(tensor, 1)
	steps := epoch.End - epoch.Begin
	if err != nil || int64(len(numbers)) != e.sampleBytes/integerBytes || steps > int64(len(numbers)) {
		return nil, errState
	}
	sizes, slots := numbers[:steps], numbers[steps:]
	samples := make([][]int64, steps)
	for i, size := range sizes {
		if size < 0 || size > int64(len(slots)) {
			return nil, errState
		}
		samples[i], slots = slots[:size:size], slots[size:]
		before := int64(-1)
		for _, slot := range samples[i] {
			if slot <= before || slot >= e.sampler.slots {
				return nil, errState
			}
			before = slot
		}
	}
	if slices.ContainsFunc(slots, func(slot int64) bool { return slot != 0 }) {
		return nil, errState
	}
	return samples, nil
}

// setState gives a trainer its parameters and what its optimizer remembered: all of both, and nothing else.
func setState(trainer Trainer, tensors []safetensors.Tensor, wanted int) error {
	parameters, remembered := 0, 0
	for _, tensor := range tensors {
		if name, ok := strings.CutPrefix(tensor.Name, parameterTag); ok {
			tensor.Name = name
			if err := trainer.SetParameter(tensor); err != nil {
				return errState
			}
			parameters++
		} else if name, ok := strings.CutPrefix(tensor.Name, optimizerTag); ok {
			tensor.Name = name
			if err := trainer.SetState(tensor); err != nil {
				return errState
			}
			remembered++
		} else if !slices.Contains([]string{runTensor, stepsTensor, samplesTensor}, tensor.Name) {
			return errState
		}
	}
	all, err := trainer.Parameters()
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	// No two have the same name, so that as many as there are means all.
	if parameters != len(all) || remembered != wanted {
		return errState
	}
	return nil
}
