package program

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

const table = `
# a comment
aten::linear   parameters  measured by its activation
aten::relu pure computes record by record
aten::dropout random draws per record

prim::Constant pure a constant
aten::lstm forbidden is one opaque operator | write its steps in a loop
aten::bad forbidden mixes records
`

func TestTheTable(t *testing.T) {
	parsed, err := ParseTable(table)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := parsed.Allowed(), []string{"aten::dropout", "aten::linear", "aten::relu", "prim::Constant"}; !slices.Equal(got, want) {
		t.Errorf("allowed %v, want %v", got, want)
	}
	for operator, want := range map[string][2]string{
		"aten::lstm":    {"is one opaque operator", "write its steps in a loop"},
		"aten::bad":     {"mixes records", ""},
		"aten::relu":    {"computes record by record", ""},
		"aten::unknown": {"it is not among the operators that are known to keep records apart", "write the model with other operators"},
	} {
		if reason, fix := parsed.Explain(operator); reason != want[0] || fix != want[1] {
			t.Errorf("%s: %q, %q", operator, reason, fix)
		}
	}
	if judged := parsed.Judge("aten::unknown"); judged.Kind != Forbidden {
		t.Errorf("an unknown operator is %s", judged.Kind)
	}
}

func TestATableWithAnUnclearLineIsNoTable(t *testing.T) {
	for name, line := range map[string]string{
		"no reason":     "aten::a pure",
		"no kind":       "aten::a",
		"unknown kind":  "aten::a maybe because",
		"no operator":   "relu pure because",
		"spaces inside": "aten:: a pure because",
		"judged twice":  "aten::relu forbidden because",
		"long":          "aten::" + strings.Repeat("a", 130) + " pure because",
	} {
		if _, err := ParseTable(table + line); err == nil || !strings.Contains(err.Error(), "line 10") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheEmbeddedTable(t *testing.T) {
	parsed, err := Operators()
	if err != nil {
		t.Fatal(err)
	}
	allowed := Allowed()
	if !slices.Equal(allowed, parsed.Allowed()) || !slices.IsSorted(allowed) || !slices.Contains(allowed, "aten::linear") {
		t.Errorf("%d operators are allowed, aten::linear among them: %v", len(allowed), slices.Contains(allowed, "aten::linear"))
	}
	if reason, fix := Explain("aten::no_such_operator"); reason == "" || fix == "" {
		t.Errorf("%q, %q", reason, fix)
	}
}

func report(operators ...string) *bastionlabv1.CapabilityReport {
	r := &bastionlabv1.CapabilityReport{
		Parameters: []*bastionlabv1.ParameterReport{{Name: "a.weight", Dtype: bastionlabv1.DType_DTYPE_F32, Shape: []int64{2, 3}, Trainable: true, Measurement: "linear"}},
		Inputs:     []*bastionlabv1.TensorSpec{{Name: "x", Dtype: bastionlabv1.DType_DTYPE_F32, Shape: []int64{1, 3}}},
		Outputs:    []*bastionlabv1.TensorSpec{{Dtype: bastionlabv1.DType_DTYPE_F32, Shape: []int64{1, 2}}}, ProgramSha256: []byte("digest"),
	}
	for _, name := range operators {
		r.Operators = append(r.Operators, &bastionlabv1.OperatorUse{Name: name, Count: 1})
	}
	return r
}

func TestAReportIsJudgedByTheTable(t *testing.T) {
	parsed, err := ParseTable(table)
	if err != nil {
		t.Fatal(err)
	}
	if err := parsed.CheckReport(report("aten::linear", "aten::dropout", "prim::Constant"), []byte("digest")); err != nil {
		t.Error(err)
	}
	for operator, words := range map[string]string{
		"aten::lstm":    "write its steps in a loop",
		"aten::bad":     "write the model without it",
		"aten::unknown": "not among the operators",
	} {
		err := parsed.CheckReport(report("aten::linear", operator), []byte("digest"))
		if refusal.KindOf(err) != refusal.IncompatibleModel || !strings.Contains(err.Error(), operator) || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", operator, err)
		}
	}
	if err := CheckReport(report("aten::linear"), []byte("digest")); err != nil {
		t.Errorf("by the embedded table: %v", err)
	}
}

// What a hostile archive could make of the intake: none of it is used, and none of it is the model's fault in the client's eyes.
func TestAReportThatNoHonestIntakeWritesIsNotUsed(t *testing.T) {
	parsed, err := ParseTable(table)
	if err != nil {
		t.Fatal(err)
	}
	type r = bastionlabv1.CapabilityReport
	cases := map[string]func(*r){
		"no operators":          func(r *r) { r.Operators = nil },
		"too many operators":    func(r *r) { r.Operators = make([]*bastionlabv1.OperatorUse, maxReportOperators+1) },
		"operator twice":        func(r *r) { r.Operators = append(r.Operators, r.Operators[0]) },
		"operator no times":     func(r *r) { r.Operators[0].Count = 0 },
		"operator of escapes":   func(r *r) { r.Operators[0].Name = "aten::\x1b[2J" },
		"operator of a page":    func(r *r) { r.Operators[0].Name = "aten::" + strings.Repeat("a", 1000) },
		"nil operator":          func(r *r) { r.Operators[0] = nil },
		"parameter of no name":  func(r *r) { r.Parameters[0].Name = "" },
		"parameter twice":       func(r *r) { r.Parameters = append(r.Parameters, r.Parameters[0]) },
		"parameter of escapes":  func(r *r) { r.Parameters[0].Name = "\n" },
		"parameter of no dtype": func(r *r) { r.Parameters[0].Dtype = 0 },
		"parameter below zero":  func(r *r) { r.Parameters[0].Shape = []int64{-1} },
		"parameter of all":      func(r *r) { r.Parameters[0].Shape = []int64{1 << 62, 1 << 62} },
		"measured by a page":    func(r *r) { r.Parameters[0].Measurement = strings.Repeat("x", 2000) },
		"too many parameters":   func(r *r) { r.Parameters = make([]*bastionlabv1.ParameterReport, maxReportParameters+1) },
		"output below zero":     func(r *r) { r.Outputs[0].Shape = []int64{-1} },
		"input of escapes":      func(r *r) { r.Inputs[0].Name = "\x00" },
		"too many inputs":       func(r *r) { r.Inputs = make([]*bastionlabv1.TensorSpec, maxReportTensors+1) },
		"too many outputs":      func(r *r) { r.Outputs = make([]*bastionlabv1.TensorSpec, maxReportTensors+1) },
		"of another program":    func(r *r) { r.ProgramSha256 = []byte("another") },
		"of no program":         func(r *r) { r.ProgramSha256 = nil },
	}
	for name, alter := range cases {
		altered := proto.CloneOf(report("aten::linear"))
		alter(altered)
		if err := parsed.CheckReport(altered, []byte("digest")); err == nil || refusal.KindOf(err) != refusal.Internal {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := parsed.CheckReport(nil, nil); err == nil {
		t.Error("no report at all was taken")
	}
}

func FuzzTable(f *testing.F) {
	f.Add(table)
	f.Add(operatorsText)
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := ParseTable(text)
		if err != nil {
			return
		}
		for _, name := range parsed.Allowed() {
			if judged := parsed.Judge(name); judged.Kind == Forbidden || judged.Reason == "" {
				t.Fatalf("%q is allowed as %+v", name, judged)
			}
		}
	})
}
