package program

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

func embeddedKernels(t *testing.T) map[string]Operator {
	t.Helper()
	table, err := cuda()
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// Nothing is admitted that nobody has read the kernels of, and nothing judged that is not admitted.
func TestEveryOperatorIsJudgedForADevice(t *testing.T) {
	operators, err := Operators()
	if err != nil {
		t.Fatal(err)
	}
	table := embeddedKernels(t)
	for _, operator := range operators.Allowed() {
		if _, judged := table[operator]; !judged {
			t.Errorf("cuda.txt has no line on %s", operator)
		}
	}
	for operator := range table {
		if operators.Judge(operator).Kind == Forbidden {
			t.Errorf("cuda.txt judges %s, which is forbidden everywhere", operator)
		}
	}
}

func TestAnotherLibtorchIsReadAgain(t *testing.T) {
	version, err := os.ReadFile("../../LIBTORCH_VERSION")
	if err != nil {
		t.Fatal(err)
	}
	if want := "for libtorch " + strings.TrimSpace(string(version)) + " "; !strings.Contains(cudaText, want) {
		t.Errorf("cuda.txt was not read %s", want)
	}
}

var boundForm = regexp.MustCompile(`\{"(aten::\w+)", \{\{`)

// SECURITY: an operator that is admitted because the engine looks first is one that it looks first at.
func TestTheEngineChecksWhatTheTableSaysItDoes(t *testing.T) {
	source, err := os.ReadFile("../../engine/src/bounds.cpp")
	if err != nil {
		t.Fatal(err)
	}
	var looked, said []string
	for _, found := range boundForm.FindAllStringSubmatch(string(source), -1) {
		looked = append(looked, found[1])
	}
	for operator, judged := range embeddedKernels(t) {
		if judged.Kind == checkedKernels {
			said = append(said, operator)
		}
	}
	slices.Sort(looked)
	slices.Sort(said)
	if len(said) == 0 || !slices.Equal(looked, said) {
		t.Errorf("bounds.cpp looks at %v, cuda.txt says %v", looked, said)
	}
}

func TestADeviceTakesNoOperatorThatStopsIt(t *testing.T) {
	for operator, words := range map[string]string{
		"aten::masked_scatter": "use torch.where, or train it on the CPU",
		"aten::nll_loss":       "log_softmax",
		"aten::unknown":        "nobody has read its kernels",
	} {
		c := model()
		c.Graph.Steps[1].Operator = operator
		for _, device := range []string{"", CPU} {
			if err := c.JudgeDevice(device); err != nil {
				t.Errorf("%s on %q: %v", operator, device, err)
			}
		}
		err := c.JudgeDevice("cuda")
		var refused *refusal.Error
		if !errors.As(err, &refused) || refused.Kind != refusal.IncompatibleModel || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", operator, err)
			continue
		}
		if !strings.Contains(refused.What, operator+" in layer head") || refused.Model.Operator != operator || refused.Model.Layer != "head" {
			t.Errorf("%s: %+v of %+v", operator, refused, refused.Model)
		}
		uses := []*bastionlabv1.OperatorUse{{Name: "aten::linear"}, {Name: operator}}
		if err := JudgeUses("cuda", uses); refusal.KindOf(err) != refusal.IncompatibleModel || !strings.Contains(err.Error(), words) {
			t.Errorf("%s, of a report: %v", operator, err)
		}
		if err := JudgeUses(CPU, uses); err != nil {
			t.Errorf("%s, of a report on the CPU: %v", operator, err)
		}
	}
	if err := model().JudgeDevice("cuda"); err != nil {
		t.Errorf("a sound model: %v", err)
	}
}

func TestATableOfKernelsWithAnUnclearLineIsNone(t *testing.T) {
	for name, line := range map[string]string{
		"no reason":    "aten::a plain",
		"unknown kind": "aten::a pure because",
		"no operator":  "relu plain because",
		"judged twice": "aten::relu plain because\naten::relu refused because",
	} {
		if _, err := parseKernels("# a comment\n\n" + line); err == nil || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
