package training

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

const weightsKind = "weights"

// trainedTensor is one tensor of the trainer's output and where its bytes lie.
type trainedTensor struct {
	safetensors.Tensor
	offset, bytes int64
}

// readOutput checks that a trainer's output is exactly the trainable parameters of the report, and returns them in the report's order.
// SECURITY: the output was written by a process that ran somebody's model on records. Nothing but the parameters themselves is taken
// from it: no other tensor, no other shape, no order, no padding, no metadata.
func readOutput(output *os.File, outputBytes int64, parameters []*bastionlabv1.ParameterReport) ([]trainedTensor, error) {
	info, err := output.Stat()
	if err != nil {
		return nil, fmt.Errorf("look at the output: %w", err)
	}
	if info.Size() != outputBytes {
		return nil, errors.New("the output has another size than announced")
	}
	tensors, offset, err := safetensors.Scan(output, outputBytes)
	if err != nil {
		return nil, fmt.Errorf("read the output: %w", err)
	}
	found := make(map[string]trainedTensor, len(tensors))
	for _, tensor := range tensors {
		bytes, err := tensor.Bytes()
		if err != nil {
			return nil, fmt.Errorf("read the output: %w", err)
		}
		found[tensor.Name] = trainedTensor{tensor, offset, bytes}
		offset += bytes
	}
	var trained []trainedTensor
	for _, parameter := range parameters {
		if !parameter.GetTrainable() {
			continue
		}
		tensor, ok := found[parameter.GetName()]
		if !ok || tensor.DType != parameter.GetDtype() || !slices.Equal(tensor.Shape, parameter.GetShape()) {
			return nil, errors.New("the output lacks a parameter of the model")
		}
		trained = append(trained, tensor)
	}
	if len(trained) != len(tensors) {
		return nil, errors.New("the output holds more than the parameters of the model")
	}
	return trained, nil
}

// sealWeights writes the parameters into an encrypted blob under the run's identifier.
func sealWeights(store *storage.Store, run string, output io.ReaderAt, trained []trainedTensor) (sha256 []byte, size int64, err error) {
	blob, err := store.CreateBlob(weightsKind, run)
	if err != nil {
		return nil, 0, err
	}
	defer blob.Abort() // does nothing once committed
	tensors := make([]safetensors.Tensor, len(trained))
	for i, tensor := range trained {
		tensors[i] = tensor.Tensor
	}
	header, err := safetensors.Header(tensors)
	if err != nil {
		return nil, 0, fmt.Errorf("write the weights: %w", err)
	}
	if _, err := blob.Write(header); err != nil {
		return nil, 0, err
	}
	for _, tensor := range trained {
		if _, err := io.Copy(blob, io.NewSectionReader(output, tensor.offset, tensor.bytes)); err != nil {
			return nil, 0, err
		}
	}
	return blob.Commit()
}
