//go:build linux

package main

import (
	"regexp"
	"slices"
	"strings"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
)

// stage is how far an archive came.
type stage string

const (
	refusedOutside  stage = "refused outside"
	refusedByIntake stage = "refused by intake"
	diedInIntake    stage = "died in intake"
	hungInIntake    stage = "hung in intake"
	brokeProtocol   stage = "broke the protocol"
	answered        stage = "answered"
	unsound         stage = "unsound"
	refusedByJudge  stage = "refused by the judge"
	admitted        stage = "admitted"
)

// inspection is what came of an archive.
type inspection struct {
	stage            stage
	reason, operator string
	internal         bool   // a fault that says nothing
	words            string // a dead process's last
	payload          []byte
	report           *bastionlabv1.CapabilityReport
	graph            *trainerv1.Graph
}

func (i inspection) admitted() bool { return i.stage == admitted }

var numberForm = regexp.MustCompile(`[0-9]+|_f[0-9_]+|'[^']*'|"[^"]*"`)

const maxKeyReason = 70

// keys are what an outcome is told apart by: refusals by what they say, programs by the operators in them and what follows what.
func (i inspection) keys() []string {
	if i.graph == nil {
		reason := numberForm.ReplaceAllString(i.reason, "#")
		return []string{string(i.stage) + "|" + i.operator + "|" + reason[:min(len(reason), maxKeyReason)]}
	}
	var keys []string
	for _, step := range i.graph.GetSteps() {
		keys = append(keys, step.GetOperator()+"."+step.GetOverload()+operandKinds(step))
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// operandKinds tells tensors from values and nothing from something: which of an operator's ways it takes often hangs on that.
func operandKinds(step *trainerv1.Step) string {
	var kinds strings.Builder
	for _, operand := range step.GetOperands() {
		switch operand.GetKind().(type) {
		case *trainerv1.Operand_None:
			kinds.WriteByte('-')
		case *trainerv1.Operand_Value:
			kinds.WriteByte('v')
		case *trainerv1.Operand_Tensor:
			kinds.WriteByte('t')
		case *trainerv1.Operand_List_:
			kinds.WriteByte('l')
		default:
			kinds.WriteByte('.')
		}
	}
	return kinds.String()
}
