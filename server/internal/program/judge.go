package program

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
)

// What a graph may hold. The engine unrolls no model to more steps; the others are far beyond what its operators take or give.
const (
	maxSteps         = 200_000
	maxOperands      = 64        // of one step
	maxElements      = 65_536    // of one list
	maxListDepth     = 2         // lists in lists, and nothing further in
	maxResults       = 65_536    // of one step
	maxValues        = 4_000_000 // of all steps: the engine numbers them with 32 bits
	maxNameBytes     = 1024
	maxTextBytes     = 4096
	maxOverloadBytes = 128
)

// Judge says whether the program may be trained on records of the schema with the loss. A model with an operator that the table does not
// take is an IncompatibleModel refusal. Every other error is about a graph that no honest intake writes, and not the author's fault.
//
// SECURITY: who wrote the graph has parsed a stranger's archive and may be the stranger's by now. This is the judgement that the program's
// digest stands for in plan and ledger: made by the server, which alone decides, and again by the trainer before it is given data.
func (c Canonical) Judge(table Table, schema *bastionlabv1.Schema, loss string) error {
	if schema == nil || !proto.Equal(c.Graph.GetSchema(), schema) || c.Graph.GetLoss() != loss {
		return unsound("its schema or its loss is another than asked for")
	}
	if steps := len(c.Graph.GetSteps()); steps > maxSteps {
		return unsound("%d steps, at most %d", steps, maxSteps)
	}
	j := judge{Canonical: c, table: table, tensors: make([]tensorUse, len(c.Tensors))}
	if err := j.parameters(); err != nil {
		return err
	}
	for i, step := range c.Graph.GetSteps() {
		if err := j.step(i, step); err != nil {
			return err
		}
	}
	return j.end()
}

func unsound(format string, args ...any) error {
	return fmt.Errorf("program: the graph is unsound: %s", fmt.Sprintf(format, args...))
}

// judge goes through a graph once, in order.
type judge struct {
	Canonical
	table   Table
	tensors []tensorUse
	values  int64 // how many there are before the step that is looked at
}

type tensorUse struct{ referred, parameter, trained bool }

// tensor marks that the graph refers to a tensor; nil where there is no such tensor.
func (j *judge) tensor(number int64) *tensorUse {
	if number < 0 || number >= int64(len(j.tensors)) {
		return nil
	}
	use := &j.tensors[number]
	use.referred = true
	return use
}

func (j *judge) parameters() error {
	j.values = int64(len(j.Graph.GetSchema().GetInputs()))
	names := make(map[string]bool, len(j.Graph.GetParameters()))
	trainable := false
	for i, parameter := range j.Graph.GetParameters() {
		name := parameter.GetName()
		if name == "" || len(name) > maxNameBytes || !printable(name) || names[name] {
			return unsound("parameter %d has an empty, an overlong, a repeated name, or one that cannot be printed", i)
		}
		names[name] = true
		use := j.tensor(parameter.GetTensor())
		if use == nil || use.parameter {
			return unsound("parameter %d has no tensor, or that of another", i)
		}
		use.parameter = true
		if !parameter.GetTrainable() {
			continue
		}
		if err := checkTrainable(i, j.Tensors[parameter.GetTensor()]); err != nil {
			return err
		}
		use.trained, trainable = true, true
		j.values++
	}
	if !trainable {
		return unsound("nothing of it can be trained")
	}
	return nil
}

func checkTrainable(i int, from safetensors.Tensor) error {
	if from.DType != bastionlabv1.DType_DTYPE_F32 && from.DType != bastionlabv1.DType_DTYPE_F64 {
		return unsound("parameter %d cannot be trained: it holds no floating-point numbers of 32 or 64 bits", i)
	}
	if size, err := from.Bytes(); err != nil || size == 0 {
		return unsound("parameter %d cannot be trained: it is empty", i)
	}
	return nil
}

var overloadForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (j *judge) step(i int, step *trainerv1.Step) error {
	overload := step.GetOverload()
	switch {
	case !validOperator(step.GetOperator()):
		return unsound("step %d is no operator", i)
	case overload != "" && (len(overload) > maxOverloadBytes || !overloadForm.MatchString(overload)):
		return unsound("step %d has an overload that is none", i)
	case len(step.GetLayer()) > maxNameBytes || !printable(step.GetLayer()):
		return unsound("step %d has an overlong layer, or one that cannot be printed", i)
	case len(step.GetOperands()) > maxOperands:
		return unsound("step %d has %d operands, at most %d", i, len(step.GetOperands()), maxOperands)
	case step.GetResults() < 1 || step.GetResults() > maxResults || j.values+step.GetResults() > maxValues:
		return unsound("step %d has no result, or too many", i)
	}
	for _, operand := range step.GetOperands() {
		if err := j.operand(operand, 0); err != nil {
			return unsound("step %d: %s", i, err)
		}
	}
	// PRIVACY: deny by default: an operator nobody has argued for may read across records.
	if j.table.Judge(step.GetOperator()).Kind == Forbidden {
		return j.table.incompatible(step.GetOperator(), step.GetLayer())
	}
	j.values += step.GetResults()
	return nil
}

func (j *judge) operand(operand *trainerv1.Operand, depth int) error {
	switch kind := operand.GetKind().(type) {
	case *trainerv1.Operand_None:
		return marker(kind.None)
	case *trainerv1.Operand_Device:
		return marker(kind.Device)
	case *trainerv1.Operand_Boolean, *trainerv1.Operand_Integer, *trainerv1.Operand_Real:
		return nil
	case *trainerv1.Operand_Value:
		if kind.Value < 0 || kind.Value >= j.values {
			return fmt.Errorf("it refers to a value that is not there yet")
		}
		return nil
	case *trainerv1.Operand_Tensor:
		use := j.tensor(kind.Tensor)
		if use == nil {
			return fmt.Errorf("it refers to a tensor that there is not")
		}
		// It would be trained as a parameter and stand still as a constant.
		if use.trained {
			return fmt.Errorf("it has a trainable parameter for a constant")
		}
		return nil
	case *trainerv1.Operand_Text:
		return checkText(kind.Text)
	case *trainerv1.Operand_List_:
		return j.list(kind.List.GetElements(), depth)
	}
	return fmt.Errorf("an operand is of no kind")
}

func (j *judge) list(elements []*trainerv1.Operand, depth int) error {
	if depth == maxListDepth || len(elements) > maxElements {
		return fmt.Errorf("a list is too deep or too long")
	}
	for _, element := range elements {
		if err := j.operand(element, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// marker: an operand without a content has one spelling.
func marker(set bool) error {
	if !set {
		return fmt.Errorf("a marker is not set")
	}
	return nil
}

// checkText: SECURITY: the engine reads texts up to their first NUL, so one that has a NUL would be read in two ways.
func checkText(text string) error {
	if len(text) > maxTextBytes || !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return fmt.Errorf("a text is too long, has a NUL, or is no UTF-8")
	}
	return nil
}

func (j *judge) end() error {
	if output := j.Graph.GetOutput(); output < 0 || output >= j.values {
		return unsound("its output is a value that there is not")
	}
	if name := j.Graph.GetOutputName(); len(name) > maxNameBytes || !printable(name) {
		return unsound("its output has an overlong name, or one that cannot be printed")
	}
	for i, use := range j.tensors {
		// SECURITY: nothing lies in a program that the judgement did not come by.
		if !use.referred {
			return unsound("nothing refers to tensor %d", i)
		}
	}
	return nil
}

// Refusal is what a model with the operator is refused with where the table has a line that forbids it, and nil where it has none.
func (t Table) Refusal(operator, layer string) error {
	if known, ok := t.byName[operator]; !ok || known.Kind != Forbidden {
		return nil
	}
	return t.incompatible(operator, layer)
}

// incompatible says that an operator is not taken, where it stands, why, and what to do.
func (t Table) incompatible(operator, layer string) error {
	reason, next := t.Explain(operator)
	if next == "" {
		next = "write the model without it"
	}
	where := ""
	if layer != "" {
		where = " in layer " + layer
	}
	refused := refusal.New(refusal.IncompatibleModel, next, "the model uses %s%s, which cannot be trained privately: %s", operator, where, reason)
	refused.Model = &refusal.Model{Operator: operator, Layer: layer, Reason: reason}
	return refused
}

func printable(text string) bool {
	if !utf8.ValidString(text) {
		return false
	}
	for _, r := range text {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// plainText is printable, and a name wherever it goes.
func plainText(text string, limit int) bool { return len(text) <= limit && printableName(text) }
