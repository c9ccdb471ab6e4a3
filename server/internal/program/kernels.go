package program

import (
	_ "embed" // for the table
	"fmt"
	"strings"
	"sync"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// CPU is the device that takes all that the table of operators takes.
const CPU = "cpu"

type kernelKind string

// The kinds of cuda.txt.
const (
	plainKernels   kernelKind = "plain"
	checkedKernels kernelKind = "checked" // the engine looks at their numbers first
	refusedKernels kernelKind = "refused"
)

// kernels is one line of cuda.txt.
type kernels struct {
	kind   kernelKind
	reason string
	fix    string
}

//go:embed cuda.txt
var cudaText string

var cuda = sync.OnceValues(func() (map[string]kernels, error) { return parseKernels(cudaText) })

// parseKernels reads lines "<operator> <kind> <reason>[ | <fix>]", as ParseTable does.
func parseKernels(text string) (map[string]kernels, error) {
	byName := map[string]kernels{}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) < 3 || !validOperator(fields[0]) {
			return nil, fmt.Errorf("cuda.txt, line %d: an operator, a kind and a reason are due", i+1)
		}
		kind := kernelKind(fields[1])
		if kind != plainKernels && kind != checkedKernels && kind != refusedKernels {
			return nil, fmt.Errorf("cuda.txt, line %d: %q is no kind", i+1, fields[1])
		}
		if _, twice := byName[fields[0]]; twice {
			return nil, fmt.Errorf("cuda.txt, line %d: %s is judged twice", i+1, fields[0])
		}
		reason, fix, _ := strings.Cut(strings.Join(fields[2:], " "), "|")
		byName[fields[0]] = kernels{kind: kind, reason: strings.TrimSpace(reason), fix: strings.TrimSpace(fix)}
	}
	return byName, nil
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
	if ok && known.kind != refusedKernels {
		return nil
	}
	// PRIVACY: deny by default: a kernel nobody has read may stop the device at a number of a record, and the run with it.
	if !ok {
		known = kernels{reason: "nobody has read its kernels for a GPU"}
	}
	next := "train it on the CPU"
	if known.fix != "" {
		next = known.fix + ", or train it on the CPU"
	}
	where := ""
	if layer != "" {
		where = " in layer " + layer
	}
	no := refusal.New(refusal.IncompatibleModel, next, "the model uses %s%s, which cannot be trained privately on a GPU: %s", operator, where, known.reason)
	no.Model = &refusal.Model{Operator: operator, Layer: layer, Reason: known.reason}
	return no
}
