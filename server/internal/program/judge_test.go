package program

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
)

func testTable(t *testing.T) Table {
	t.Helper()
	parsed, err := ParseTable(table)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestASoundProgramIsTaken(t *testing.T) {
	if err := model().Judge(testTable(t), testSchema(), "cross_entropy"); err != nil {
		t.Error(err)
	}
	operators, err := Operators()
	if err != nil {
		t.Fatal(err)
	}
	if err := model().Judge(operators, testSchema(), "cross_entropy"); err != nil {
		t.Errorf("by the embedded table: %v", err)
	}
}

func TestOperatorsAreJudgedByTheTable(t *testing.T) {
	for operator, words := range map[string]string{
		"aten::lstm":    "write its steps in a loop",
		"aten::bad":     "write the model without it",
		"aten::unknown": "not among the operators",
	} {
		c := model()
		c.Graph.Steps[1].Operator = operator
		err := c.Judge(testTable(t), testSchema(), "cross_entropy")
		var refused *refusal.Error
		if !errors.As(err, &refused) || refused.Kind != refusal.IncompatibleModel || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", operator, err)
			continue
		}
		if !strings.Contains(refused.What, operator+" in layer head") || refused.Next == "" ||
			refused.Model.Operator != operator || refused.Model.Layer != "head" || refused.Model.Reason == "" {
			t.Errorf("%s: %+v of %+v", operator, refused, refused.Model)
		}
	}
	if err := model().Judge(Table{}, testSchema(), "cross_entropy"); refusal.KindOf(err) != refusal.IncompatibleModel {
		t.Errorf("no table: %v", err)
	}
}

// What a hostile archive could make of the intake: none of it is used, and none of it is the model's fault in the author's eyes.
func TestAGraphThatNoHonestIntakeWritesIsNotUsed(t *testing.T) {
	long := func(n int) string { return strings.Repeat("a", n+1) }
	operand := func(o *trainerv1.Operand) func(*Canonical) {
		return func(c *Canonical) { c.Graph.Steps[1].Operands[2] = o }
	}
	cases := map[string]func(*Canonical){
		"no graph":             func(c *Canonical) { c.Graph = nil },
		"another loss":         func(c *Canonical) { c.Graph.Loss = "l1" },
		"no schema":            func(c *Canonical) { c.Graph.Schema = nil },
		"another schema":       func(c *Canonical) { c.Graph.Schema.Inputs[0].Shape = []int64{4} },
		"a schema of one less": func(c *Canonical) { c.Graph.Schema.Inputs = c.Graph.Schema.Inputs[:1] },
		"too many steps": func(c *Canonical) {
			c.Graph.Steps = slices.Concat(c.Graph.Steps, slices.Repeat(c.Graph.Steps[1:], maxSteps-1))
		},

		"a step of no operator":  func(c *Canonical) { c.Graph.Steps[0].Operator = "" },
		"an operator of escapes": func(c *Canonical) { c.Graph.Steps[0].Operator = "aten::\x1b[2J" },
		"an operator of a page":  func(c *Canonical) { c.Graph.Steps[0].Operator = "aten::" + long(1000) },
		"an overload of a page":  func(c *Canonical) { c.Graph.Steps[0].Overload = long(maxOverloadBytes) },
		"an overload of two":     func(c *Canonical) { c.Graph.Steps[0].Overload = "Tensor.out" },
		"an overload of NUL":     func(c *Canonical) { c.Graph.Steps[0].Overload = "Tensor\x00" },
		"a layer of a page":      func(c *Canonical) { c.Graph.Steps[0].Layer = long(maxNameBytes) },
		"a layer of escapes":     func(c *Canonical) { c.Graph.Steps[0].Layer = "\x1b[2J" },
		"a layer of no letters":  func(c *Canonical) { c.Graph.Steps[0].Layer = "\xff" },
		"a step of too many operands": func(c *Canonical) {
			c.Graph.Steps[1].Operands = slices.Repeat([]*trainerv1.Operand{none()}, maxOperands+1)
		},
		"a step without a result":    func(c *Canonical) { c.Graph.Steps[0].Results = 0 },
		"a step with a debt":         func(c *Canonical) { c.Graph.Steps[0].Results = -1 },
		"a step of too many results": func(c *Canonical) { c.Graph.Steps[0].Results = maxResults + 1 },
		"steps of too many results": func(c *Canonical) {
			c.Graph.Steps[1].Results = maxResults
			c.Graph.Steps = slices.Concat(c.Graph.Steps[:1], slices.Repeat(c.Graph.Steps[1:], maxValues/maxResults+1))
		},

		"an operand of no kind":             operand(&trainerv1.Operand{}),
		"nothing that is not true":          operand(&trainerv1.Operand{Kind: &trainerv1.Operand_None{}}),
		"a device that is not true":         operand(&trainerv1.Operand{Kind: &trainerv1.Operand_Device{}}),
		"its own result":                    operand(value(6)),
		"a later value":                     operand(value(7)),
		"a value below zero":                operand(value(-1)),
		"a value beyond all":                operand(value(1 << 62)),
		"the first step uses the second":    func(c *Canonical) { c.Graph.Steps[0].Operands[0] = value(6) },
		"a tensor that there is not":        operand(tensor(5)),
		"a tensor below zero":               operand(tensor(-1)),
		"a trainable parameter as constant": operand(tensor(2)),
		"a text of a book":                  operand(text(long(maxTextBytes))),
		"a text of no letters":              operand(text("\xff")),
		"a text that ends early":            operand(text("ab\x00c")),
		"lists three deep":                  operand(list(list(list()))),
		"a list too long":                   operand(list(slices.Repeat([]*trainerv1.Operand{none()}, maxElements+1)...)),
		"a later value in a list":           operand(list(integer(1), list(value(6)))),
		"no tensor in a list":               operand(list(tensor(99))),

		"a parameter of no name":         func(c *Canonical) { c.Graph.Parameters[0].Name = "" },
		"a parameter of a page":          func(c *Canonical) { c.Graph.Parameters[0].Name = long(maxNameBytes) },
		"a parameter of escapes":         func(c *Canonical) { c.Graph.Parameters[0].Name = "\n" },
		"two parameters of one name":     func(c *Canonical) { c.Graph.Parameters[1].Name = "head.weight" },
		"a parameter of no tensor":       func(c *Canonical) { c.Graph.Parameters[2].Tensor = 5 },
		"a parameter below zero":         func(c *Canonical) { c.Graph.Parameters[2].Tensor = -1 },
		"two parameters of one tensor":   func(c *Canonical) { c.Graph.Parameters[2].Tensor, c.Tensors = 2, c.Tensors[:4] },
		"trainable integers":             func(c *Canonical) { c.Tensors[2].DType = bastionlabv1.DType_DTYPE_I32 },
		"trainable halves":               func(c *Canonical) { c.Tensors[2].DType = bastionlabv1.DType_DTYPE_BF16 },
		"a trainable parameter is empty": func(c *Canonical) { c.Tensors[2].Shape = []int64{3, 0} },
		"nothing to train": func(c *Canonical) {
			c.Graph.Parameters[0].Trainable, c.Graph.Parameters[1].Trainable = false, false
			c.Graph.Steps[1].Operands, c.Graph.Output = []*trainerv1.Operand{value(3), tensor(2)}, 4
		},
		"no parameters": func(c *Canonical) { c.Graph.Parameters = nil },

		"an output that there is not": func(c *Canonical) { c.Graph.Output = 7 },
		"an output below zero":        func(c *Canonical) { c.Graph.Output = -1 },
		"an output of escapes":        func(c *Canonical) { c.Graph.OutputName = "\x07" },
		"an output of a page":         func(c *Canonical) { c.Graph.OutputName = long(maxNameBytes) },
		"a tensor that nothing needs": func(c *Canonical) {
			c.Tensors = append(c.Tensors, safetensors.Tensor{DType: u8, Shape: []int64{4}, Data: []byte("loot")})
		},
		"a tensor that a step dropped": func(c *Canonical) { c.Graph.Steps[0].Operands[1] = none() },
	}
	for name, spoil := range cases {
		c := model()
		spoil(&c)
		if err := c.Judge(testTable(t), testSchema(), "cross_entropy"); err == nil || refusal.KindOf(err) != refusal.Internal || !strings.HasPrefix(err.Error(), "program: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Sound but for the schema that nobody has: a server that forgot to ask for one must not find it.
	c := model()
	c.Graph.Schema, c.Graph.Steps, c.Graph.Output = nil, c.Graph.Steps[:1], 0
	if err := c.Judge(testTable(t), nil, "cross_entropy"); err == nil {
		t.Error("a program without a schema was taken")
	}
}

// A graph of a hundred thousand steps is judged while somebody waits.
func TestALargeGraphIsTaken(t *testing.T) {
	c := model()
	for i := range int64(maxSteps - 2) {
		c.Graph.Steps = append(c.Graph.Steps, &trainerv1.Step{Operator: "aten::relu", Layer: "deep", Results: 1, Operands: []*trainerv1.Operand{value(i), none()}})
	}
	decoded, err := Decode(write(t, c))
	if err != nil {
		t.Fatal(err)
	}
	if err := decoded.Judge(testTable(t), testSchema(), "cross_entropy"); err != nil {
		t.Error(err)
	}
}

// stated is what an honest engine says of a program.
func stated(c Canonical) *bastionlabv1.CapabilityReport {
	r := &bastionlabv1.CapabilityReport{Outputs: []*bastionlabv1.TensorSpec{{Name: "logits", Dtype: f32, Shape: []int64{1, 2}}}}
	for _, parameter := range c.Graph.GetParameters() {
		r.Parameters = append(r.Parameters, &bastionlabv1.ParameterReport{Name: parameter.GetName(), Measurement: "embedding + linear (tied)"})
	}
	return r
}

func TestTheReportIsReadOffTheProgram(t *testing.T) {
	c := model()
	says := stated(c)
	// Whatever else it says: none of it is shown.
	says.Operators = []*bastionlabv1.OperatorUse{{Name: "aten::harmless", Count: 7}, {Name: "aten::relu", Count: 9, OneRecordAtATime: 1}}
	says.Inputs = []*bastionlabv1.TensorSpec{{Name: "other"}}
	says.ProgramSha256 = []byte("another")
	says.Parameters[0].Dtype, says.Parameters[0].Shape, says.Parameters[0].Trainable = u8, []int64{9}, false
	says.Outputs[0].ProtoReflect().SetUnknown([]byte{0x98, 0x06, 0x01})
	got, err := c.Report(says)
	if err != nil {
		t.Fatal(err)
	}
	want := &bastionlabv1.CapabilityReport{
		Operators: []*bastionlabv1.OperatorUse{{Name: "aten::linear", Count: 1}, {Name: "aten::relu", Count: 1, OneRecordAtATime: 1}},
		Parameters: []*bastionlabv1.ParameterReport{
			{Name: "head.weight", Dtype: f32, Shape: []int64{2, 3}, Trainable: true, Measurement: "embedding + linear (tied)"},
			{Name: "head.scale", Dtype: f64, Trainable: true, Measurement: "embedding + linear (tied)"},
			{Name: "head.frozen", Dtype: u8, Shape: []int64{3, 0}, Measurement: "embedding + linear (tied)"},
		},
		Inputs:  testSchema().GetInputs(),
		Outputs: []*bastionlabv1.TensorSpec{{Name: "logits", Dtype: f32, Shape: []int64{1, 2}}},
	}
	if !proto.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestAReportThatNoHonestIntakeWritesIsNotUsed(t *testing.T) {
	type r = bastionlabv1.CapabilityReport
	cases := map[string]func(*r){
		"one parameter less":          func(r *r) { r.Parameters = r.Parameters[1:] },
		"one parameter more":          func(r *r) { r.Parameters = append(r.Parameters, r.Parameters[0]) },
		"no parameters":               func(r *r) { r.Parameters = nil },
		"a parameter of another name": func(r *r) { r.Parameters[0].Name = "head.bias" },
		"parameters in another order": func(r *r) { slices.Reverse(r.Parameters) },
		"no parameter at all":         func(r *r) { r.Parameters[0] = nil },
		"measured by a page":          func(r *r) { r.Parameters[0].Measurement = strings.Repeat("x", maxMeasurementBytes+1) },
		"measured by escapes":         func(r *r) { r.Parameters[0].Measurement = "\x1b[2J" },
		"output below zero":           func(r *r) { r.Outputs[0].Shape = []int64{-1} },
		"output of all":               func(r *r) { r.Outputs[0].Shape = []int64{1 << 62, 1 << 62} },
		"output of no dtype":          func(r *r) { r.Outputs[0].Dtype = 0 },
		"output of escapes":           func(r *r) { r.Outputs[0].Name = "\x00" },
		"no output at all":            func(r *r) { r.Outputs[0] = nil },
		"more one at a time than there are": func(r *r) {
			r.Operators = []*bastionlabv1.OperatorUse{{Name: "aten::relu", OneRecordAtATime: 2}}
		},
		"less than none one at a time": func(r *r) {
			r.Operators = []*bastionlabv1.OperatorUse{{Name: "aten::relu", OneRecordAtATime: -1}}
		},
		"too many outputs": func(r *r) { r.Outputs = slices.Repeat(r.Outputs, maxOutputs+1) },
	}
	for name, spoil := range cases {
		says := stated(model())
		spoil(says)
		if _, err := model().Report(says); err == nil || refusal.KindOf(err) != refusal.Internal {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := model().Report(nil); err == nil {
		t.Error("no report at all was taken")
	}
}

// FuzzJudge feeds arbitrary graphs in their canonical encoding, which mutated bytes hardly ever have: what can be written can be read, nothing
// panics, and what is taken holds by a second reading.
func FuzzJudge(f *testing.F) {
	parsed, err := ParseTable(table)
	if err != nil {
		f.Fatal(err)
	}
	encoded, err := canonicalBytes(model().Graph)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(encoded)
	f.Fuzz(func(t *testing.T, encoded []byte) {
		c := model()
		c.Graph = &trainerv1.Graph{}
		if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(encoded, c.Graph); err != nil {
			return
		}
		var file bytes.Buffer
		if err := Write(&file, c.Graph, c.Tensors); err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		decoded, err := Decode(file.Bytes())
		if err != nil || !proto.Equal(decoded.Graph, c.Graph) {
			t.Fatalf("written, but read as %v, %v", decoded.Graph, err)
		}
		if decoded.Judge(parsed, testSchema(), "cross_entropy") != nil {
			return
		}
		report, err := decoded.Report(stated(decoded))
		if err != nil {
			t.Fatal(err)
		}
		for _, use := range report.GetOperators() {
			if parsed.Judge(use.GetName()).Kind == Forbidden {
				t.Fatalf("%q was taken", use.GetName())
			}
		}
	})
}
