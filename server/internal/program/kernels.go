package program

import (
	_ "embed" // for the table
	"sync"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// CPU is the device that takes all that the table of operators takes.
const CPU = "cpu"

// The kinds of cuda.txt.
const (
	plainKernels   Kind = "plain"
	checkedKernels Kind = "checked" // the engine looks at their numbers first
	refusedKernels Kind = "refused"
)

//go:embed cuda.txt
var cudaText string

var cuda = sync.OnceValues(func() (map[string]Operator, error) { return parseKernels(cudaText) })

func parseKernels(text string) (map[string]Operator, error) {
	return parseLines("cuda.txt", text, plainKernels, checkedKernels, refusedKernels)
}

// JudgeDevice says whether the program, which Judge has taken, may be trained on the device too. A model with an operator whose kernels a
// record could stop is an IncompatibleModel refusal.
func (c Canonical) JudgeDevice(device string) error {
	for _, step := range c.Graph.GetSteps() {
		if err := judgeKernels(device, step.GetOperator(), step.GetLayer()); err != nil {
			return err
		}
	}
	return nil
}

// JudgeUses is JudgeDevice for the operators of a report, which was read off a program when that was judged.
func JudgeUses(device string, uses []*bastionlabv1.OperatorUse) error {
	for _, use := range uses {
		if err := judgeKernels(device, use.GetName(), ""); err != nil {
			return err
		}
	}
	return nil
}

func judgeKernels(device, operator, layer string) error {
	if device == "" || device == CPU {
		return nil
	}
	table, err := cuda()
	if err != nil {
		return err
	}
	known, ok := table[operator]
	if ok && known.Kind != refusedKernels {
		return nil
	}
	// PRIVACY: deny by default: a kernel nobody has read may stop the device at a number of a record, and the run with it.
	if !ok {
		known = Operator{Reason: "nobody has read its kernels for a GPU"}
	}
	next := "train it on the CPU"
	if known.Fix != "" {
		next = known.Fix + ", or train it on the CPU"
	}
	where := ""
	if layer != "" {
		where = " in layer " + layer
	}
	no := refusal.New(refusal.IncompatibleModel, next, "the model uses %s%s, which cannot be trained privately on a GPU: %s", operator, where, known.Reason)
	no.Model = &refusal.Model{Operator: operator, Layer: layer, Reason: known.Reason}
	return no
}
