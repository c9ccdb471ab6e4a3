package program

import (
	"errors"
	"maps"
	"slices"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
)

const (
	maxMeasurementBytes = 256 // "embedding + linear (tied)"
	maxOutputs          = 8
)

// errReport is about the intake, not about the model: what it says is well formed, or there is no report at all.
var errReport = errors.New("program: the intake's report is malformed")

// Report is what people are shown of a judged program, without its digest. Operators, parameters and inputs are read off the program. How
// each parameter is measured, how many operators run one record at a time and what comes out are known to the engine only and are
// taken from what the intake stated: texts and numbers to read, on which nothing rests.
func (c Canonical) Report(stated *bastionlabv1.CapabilityReport) (*bastionlabv1.CapabilityReport, error) {
	parameters, err := c.parameterReports(stated.GetParameters())
	if err != nil {
		return nil, err
	}
	outputs, err := outputsOf(stated.GetOutputs())
	if err != nil {
		return nil, err
	}
	operators, err := operatorUses(c.Graph.GetSteps(), stated.GetOperators())
	if err != nil {
		return nil, err
	}
	return &bastionlabv1.CapabilityReport{
		Operators:  operators,
		Parameters: parameters,
		Inputs:     c.Graph.GetSchema().GetInputs(),
		Outputs:    outputs,
	}, nil
}

// operatorUses counts the operators. Only how many of each run one record at a time is the intake's word.
func operatorUses(steps []*trainerv1.Step, stated []*bastionlabv1.OperatorUse) ([]*bastionlabv1.OperatorUse, error) {
	counts, oneAtATime := map[string]int64{}, map[string]int64{}
	for _, step := range steps {
		counts[step.GetOperator()]++
	}
	for _, use := range stated {
		if of := use.GetOneRecordAtATime(); of < 0 || of > counts[use.GetName()] {
			return nil, errReport
		}
		oneAtATime[use.GetName()] = use.GetOneRecordAtATime()
	}
	var uses []*bastionlabv1.OperatorUse
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		uses = append(uses, &bastionlabv1.OperatorUse{Name: name, Count: counts[name], OneRecordAtATime: oneAtATime[name]})
	}
	return uses, nil
}

func (c Canonical) parameterReports(stated []*bastionlabv1.ParameterReport) ([]*bastionlabv1.ParameterReport, error) {
	parameters := c.Graph.GetParameters()
	if len(stated) != len(parameters) {
		return nil, errReport
	}
	reports := make([]*bastionlabv1.ParameterReport, len(parameters))
	for i, parameter := range parameters {
		measurement := stated[i].GetMeasurement()
		if stated[i].GetName() != parameter.GetName() || !plainText(measurement, maxMeasurementBytes) {
			return nil, errReport
		}
		tensor := c.Tensors[parameter.GetTensor()]
		reports[i] = &bastionlabv1.ParameterReport{
			Name: parameter.GetName(), Dtype: tensor.DType, Shape: tensor.Shape, Trainable: parameter.GetTrainable(), Measurement: measurement,
		}
	}
	return reports, nil
}

// outputsOf takes the outputs over field by field: a message from the intake may carry more than its fields.
func outputsOf(stated []*bastionlabv1.TensorSpec) ([]*bastionlabv1.TensorSpec, error) {
	if len(stated) > maxOutputs {
		return nil, errReport
	}
	var outputs []*bastionlabv1.TensorSpec
	for _, output := range stated {
		if _, err := safetensors.SizeBytes(output.GetDtype(), output.GetShape()); err != nil || !plainText(output.GetName(), maxNameBytes) {
			return nil, errReport
		}
		outputs = append(outputs, &bastionlabv1.TensorSpec{Name: output.GetName(), Dtype: output.GetDtype(), Shape: output.GetShape()})
	}
	return outputs, nil
}
