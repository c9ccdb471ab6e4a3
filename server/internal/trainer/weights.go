package trainer

import (
	"fmt"
	"io"
	"os"
	"slices"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
)

// setWeights gives a model of so many trainable parameters the weights of an earlier run.
func setWeights(parameters int, set func(safetensors.Tensor) error, file *os.File) error {
	mapped, err := mapSealed(file)
	if err != nil {
		return err
	}
	weights, err := safetensors.Decode(mapped)
	if err != nil {
		return refuse(trainerv1.Fault_CODE_BAD_WEIGHTS, "the weights to go on from cannot be read")
	}
	if len(weights) != parameters {
		return refuse(trainerv1.Fault_CODE_BAD_WEIGHTS, "the weights to go on from have %d tensors, the model has %d", len(weights), parameters)
	}
	for _, tensor := range weights {
		if err := set(tensor); err != nil {
			return refuse(trainerv1.Fault_CODE_BAD_WEIGHTS, "the weights to go on from do not fit parameter %s", tensor.Name)
		}
	}
	return nil
}

// writeWeights puts the trained parameters into the output as one safetensors file.
func writeWeights(trainer Trainer, output *os.File) (*trainerv1.Finished, error) {
	parameters, err := trainer.Parameters()
	if err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	counted := &countingWriter{to: io.NewOffsetWriter(output, 0)}
	if err := safetensors.Write(counted, parameters); err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	return &trainerv1.Finished{OutputBytes: counted.bytes}, nil
}

type countingWriter struct {
	to    io.Writer
	bytes int64
}

func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	w.bytes += int64(n)
	return n, err
}

// recordBytes is the length of one record: its inputs in order, then its label, without padding.
func recordBytes(schema *bastionlabv1.Schema) (int64, error) {
	var total int64
	for _, spec := range slices.Concat(schema.GetInputs(), []*bastionlabv1.TensorSpec{schema.GetLabel()}) {
		size, err := safetensors.SizeBytes(spec.GetDtype(), spec.GetShape())
		if err != nil {
			return 0, badRequest("the schema has no layout")
		}
		total += size
	}
	if total < 1 {
		return 0, badRequest("a record of the schema is empty")
	}
	return total, nil
}
