package program

import (
	"slices"
	"strings"
	"testing"
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
		"a fix only":    "aten::a pure | because",
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
	allowed := parsed.Allowed()
	if !slices.IsSorted(allowed) || !slices.Contains(allowed, "aten::linear") {
		t.Errorf("%d operators are allowed, aten::linear among them: %v", len(allowed), slices.Contains(allowed, "aten::linear"))
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
