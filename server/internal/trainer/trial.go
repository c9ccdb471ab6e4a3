package trainer

import (
	"fmt"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
	"golang.org/x/sys/unix"
)

// trial makes private steps of the smallest model there is, on zeros. Whether a device computes in the closed sandbox shows here, where the
// server starts, and not in somebody's run: what a GPU's driver opens, and when, is known to nobody outside of NVIDIA.
func (p *Process) trial() error {
	graph, tensors, settings := trialProgram()
	memory, err := unix.Mmap(-1, 0, len(tensors[0].Data), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return fmt.Errorf("memory for a trial: %w", err)
	}
	defer func() { _ = unix.Munmap(memory) }()
	tensors[0].Data = memory
	built, err := p.Engine.Build(graph, tensors, p.Operators.Allowed())
	if err != nil {
		return err
	}
	run := &run{program: built, settings: settings}
	defer run.close()
	if run.recordBytes, err = recordBytes(graph.GetSchema()); err != nil {
		return err
	}
	if err := built.Rehearse(settings.GetPassSize()); err != nil {
		return err
	}
	if run.trainer, err = built.Train(trainingOf(settings)); err != nil {
		return err
	}
	failed, err := makeSteps(run.trainer, run)
	if err == nil && failed {
		// The engine keeps to itself why a record fails, and takes it for one that does.
		err = &Failure{Status: Internal, Reason: zerosFail}
	}
	return err
}

// trialProgram is a linear layer from four numbers to two classes. Nothing of it depends on anything.
func trialProgram() (*trainerv1.Graph, []safetensors.Tensor, *trainerv1.Settings) {
	value := func(number int64) *trainerv1.Operand {
		return &trainerv1.Operand{Kind: &trainerv1.Operand_Value{Value: number}}
	}
	graph := &trainerv1.Graph{
		Schema: &bastionlabv1.Schema{
			Inputs: []*bastionlabv1.TensorSpec{{Name: "x", Dtype: bastionlabv1.DType_DTYPE_F32, Shape: []int64{4}}},
			Label:  &bastionlabv1.TensorSpec{Name: "label", Dtype: bastionlabv1.DType_DTYPE_I64},
		},
		Loss: "cross_entropy", Output: 2, OutputName: "output",
		Parameters: []*trainerv1.Parameter{{Name: "weight", Trainable: true}},
		Steps: []*trainerv1.Step{{
			Operator: "aten::linear", Layer: "layer", Results: 1,
			Operands: []*trainerv1.Operand{value(0), value(1), {Kind: &trainerv1.Operand_None{None: true}}},
		}},
	}
	weight := safetensors.Tensor{DType: bastionlabv1.DType_DTYPE_F32, Shape: []int64{2, 4}, Data: make([]byte, 32)}
	settings := &trainerv1.Settings{
		Slots: 1, Steps: 1, BatchSize: 1, PassSize: 1, EpochEnds: []int64{1}, InclusionThreshold: 1,
		Private: true, GridExponent: 20, Eta: 0.5, MaxGradNorm: 1, NoiseMultiplier: 1,
		Optimizer: &bastionlabv1.Optimizer{Kind: &bastionlabv1.Optimizer_Sgd{Sgd: &bastionlabv1.SGD{Lr: 1}}},
	}
	return graph, []safetensors.Tensor{weight}, settings
}
