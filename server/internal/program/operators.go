package program

import (
	_ "embed" // for the table
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Kind says how an operator is trained privately.
type Kind string

// The kinds of operators.txt.
const (
	Pure       Kind = "pure"       // computes record by record
	Random     Kind = "random"     // draws, per record
	Parameters Kind = "parameters" // holds parameters; its per-record gradient is measured
	Forbidden  Kind = "forbidden"  // cannot be trained privately, for the reason given
)

// Operator is one line of the table.
type Operator struct {
	Name   string // "aten::linear"
	Kind   Kind
	Reason string
	Fix    string // what to use in its place, where the line says so after a "|"
}

// Table holds the operators there is a judgement on.
type Table struct{ byName map[string]Operator }

//go:embed operators.txt
var operatorsText string

var embedded = sync.OnceValues(func() (Table, error) { return ParseTable(operatorsText) })

// Operators is the table of this release.
func Operators() (Table, error) { return embedded() }

var operatorForm = regexp.MustCompile(`^[a-z][a-z0-9_]*::[A-Za-z_][A-Za-z0-9_.]*$`)

const maxOperatorBytes = 128

// ParseTable reads lines "<operator> <kind> <reason>[ | <fix>]"; empty lines and what follows a "#" at a line's start are left out.
func ParseTable(text string) (Table, error) {
	byName, err := parseLines("operators.txt", text, Pure, Random, Parameters, Forbidden)
	return Table{byName: byName}, err
}

// parseLines reads a file of lines "<operator> <kind> <reason>[ | <fix>]", each operator once, with comments after #.
func parseLines(file, text string, kinds ...Kind) (map[string]Operator, error) {
	byName := map[string]Operator{}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		operator, err := parseOperator(line, kinds)
		if err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", file, i+1, err)
		}
		if _, twice := byName[operator.Name]; twice {
			return nil, fmt.Errorf("%s, line %d: %s is judged twice", file, i+1, operator.Name)
		}
		byName[operator.Name] = operator
	}
	return byName, nil
}

func parseOperator(line string, kinds []Kind) (Operator, error) {
	fields := strings.Fields(line)
	if len(fields) < 3 || strings.HasPrefix(fields[2], "|") {
		return Operator{}, fmt.Errorf("an operator, a kind and a reason are due")
	}
	operator := Operator{Name: fields[0], Kind: Kind(fields[1])}
	if !validOperator(operator.Name) {
		return Operator{}, fmt.Errorf("%q is no operator", fields[0])
	}
	if !slices.Contains(kinds, operator.Kind) {
		return Operator{}, fmt.Errorf("%q is no kind", fields[1])
	}
	reason, fix, _ := strings.Cut(strings.Join(fields[2:], " "), "|")
	operator.Reason, operator.Fix = strings.TrimSpace(reason), strings.TrimSpace(fix)
	return operator, nil
}

func validOperator(name string) bool {
	return len(name) <= maxOperatorBytes && operatorForm.MatchString(name)
}

// Allowed lists the operators that may occur, sorted.
func (t Table) Allowed() []string {
	var names []string
	for name, operator := range t.byName {
		if operator.Kind != Forbidden {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Judge returns the line on an operator; an operator without one is forbidden.
func (t Table) Judge(operator string) Operator {
	if known, ok := t.byName[operator]; ok {
		return known
	}
	return Operator{
		Name: operator, Kind: Forbidden,
		Reason: "it is not among the operators that are known to keep records apart",
		Fix:    "write the model with other operators",
	}
}

// Explain says why an operator is not taken and what to do about it; of one that is taken, how it is trained.
func (t Table) Explain(operator string) (reason, fix string) {
	judged := t.Judge(operator)
	return judged.Reason, judged.Fix
}
