package dataset

import (
	"fmt"
	"math"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
)

// LabelName is the label's name among a batch's tensors; an input's is InputPrefix and its name.
const (
	LabelName   = "label"
	InputPrefix = "input."
)

// Layout says where the tensors of one record lie: the inputs in order, then the label, without padding. offsets has one value per input
// and one for the label.
func Layout(schema *bastionlabv1.Schema) (offsets []int64, recordBytes int64, err error) {
	for _, spec := range specs(schema) {
		size, err := safetensors.SizeBytes(spec.GetDtype(), spec.GetShape())
		if err != nil {
			return nil, 0, fmt.Errorf("lay out records: %w", err)
		}
		if size > math.MaxInt64-recordBytes {
			return nil, 0, fmt.Errorf("lay out records: a record larger than can be addressed")
		}
		offsets = append(offsets, recordBytes)
		recordBytes += size
	}
	return offsets, recordBytes, nil
}

// specs are the tensors of a record in the order in which they lie.
func specs(schema *bastionlabv1.Schema) []*bastionlabv1.TensorSpec {
	inputs := schema.GetInputs()
	return append(inputs[:len(inputs):len(inputs)], schema.GetLabel())
}

// tensorNames are the names of specs' tensors in a batch.
func tensorNames(schema *bastionlabv1.Schema) []string {
	names := make([]string, 0, len(schema.GetInputs())+1)
	for _, input := range schema.GetInputs() {
		names = append(names, InputPrefix+input.GetName())
	}
	return append(names, LabelName)
}
