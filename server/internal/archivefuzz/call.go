package archivefuzz

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// signature is one overload of an operator, from a line such as
//
//	softmax Tensor self:Tensor dim:int dtype:Optional[int]
//
// A star before an argument's name: it goes by its name only.
type signature struct {
	name      string
	results   []string
	arguments []argument
}

type argument struct {
	name, kind string
	byName     bool
}

func parseSignatures(text string) []signature {
	var all []signature
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		one := signature{name: words[0], results: strings.Split(words[1], ",")}
		for _, word := range words[2:] {
			name, kind, _ := strings.Cut(word, ":")
			plain := strings.TrimPrefix(name, "*")
			one.arguments = append(one.arguments, argument{plain, kind, plain != name})
		}
		// What gives no tensor cannot reach the loss.
		if one.results[0] == "Tensor" || one.results[0] == "List[Tensor]" {
			all = append(all, one)
		}
	}
	return all
}

// insertCall puts a call of some operator between two lines of a function and mostly makes what comes after depend on it.
func (m *Mutator) insertCall(r source, code []byte) []byte {
	lines := bytes.Split(code, []byte("\n"))
	var places []int
	for i, line := range lines {
		if bytes.HasPrefix(line, []byte("    return ")) || assignedForm.Match(line) {
			places = append(places, i)
		}
	}
	if len(m.calls) == 0 || len(places) == 0 {
		return m.changeCode(r, code)
	}
	at := among(r, places)
	known := tensors(lines, at)
	if len(known) == 0 {
		return m.changeCode(r, code)
	}
	called := among(r, m.calls)
	name := fmt.Sprintf("_f%d", r.IntN(1_000_000))
	added := [][]byte{}
	switch {
	case len(called.results) > 1:
		names := make([]string, len(called.results))
		for i := range names {
			names[i] = fmt.Sprintf("%s_%d", name, i)
		}
		added = append(added, []byte("    "+strings.Join(names, ", ")+" = "+called.call(r, known)))
		name = among(r, names)
	case called.results[0] == "List[Tensor]":
		added = append(added, []byte("    "+name+" = "+called.call(r, known)), []byte(fmt.Sprintf("    %s_0 = %s[%d]", name, name, r.IntN(2))))
		name += "_0"
	default:
		added = append(added, []byte("    "+name+" = "+called.call(r, known)))
	}
	lines = slices.Insert(lines, at, added...)
	couple(r, lines, at+len(added), name)
	return bytes.Join(lines, []byte("\n"))
}

// couple makes what is returned, or a line, depend on a variable.
func couple(r source, lines [][]byte, from int, name string) {
	if r.one(12) {
		return
	}
	if r.one(4) { // in the place of another tensor, whatever its shape
		rest := bytes.Join(lines[from:], []byte("\n"))
		known := tensors(lines, from)
		if changed := bytes.Replace(rest, []byte(among(r, known)), []byte(name), 1); len(known) > 0 {
			copy(lines[from:], bytes.Split(changed, []byte("\n")))
		}
		return
	}
	for i := from; i < len(lines); i++ {
		if value, ok := bytes.CutPrefix(lines[i], []byte("    return ")); ok && !bytes.HasSuffix(value, []byte(",")) {
			lines[i] = fmt.Appendf(nil, "    return torch.add(%s, torch.mul(torch.sum(%s), 0.5))", value, name)
			return
		}
	}
}

func (s signature) call(r source, known []string) string {
	var given []string
	for _, argument := range s.arguments {
		value := value(r, argument, known)
		if argument.byName {
			value = argument.name + "=" + value
		}
		given = append(given, value)
	}
	return "torch." + s.name + "(" + strings.Join(given, ", ") + ")"
}

var texts = []string{
	`"mean"`, `"sum"`, `"none"`, `"constant"`, `"reflect"`, `"replicate"`, `"circular"`, `"trunc"`, `"floor"`, `"tanh"`, `"bilinear"`, `"nearest"`, `"fro"`, `"nuc"`, `"ij"`, `"xy"`,
	`"zeros"`, `"linear"`, `"midpoint"`, `"same"`, `"valid"`, `"ortho"`, `""`, `"i,j->ij"`, `"...i,...j->...ij"`, `"reduced"`, `"amax"`, `"prod"`, `"left"`, `"U"`, `"L"`,
}

// value writes an argument of a kind.
func value(r source, a argument, known []string) string {
	kind := a.kind
	if inner, ok := strings.CutPrefix(kind, "Optional["); ok {
		if r.one(2) {
			return "None"
		}
		kind = strings.TrimSuffix(inner, "]")
	}
	if inner, ok := strings.CutPrefix(kind, "List["); ok {
		var elements []string
		for range r.few() + r.IntN(2) {
			elements = append(elements, value(r, argument{kind: strings.TrimSuffix(inner, "]")}, known))
		}
		if len(elements) == 0 {
			return "annotate(" + kind + ", [])"
		}
		return "[" + strings.Join(elements, ", ") + "]"
	}
	switch kind {
	case "Tensor":
		return tensorValue(r, known)
	case "int":
		return integerValue(r, a.name)
	case "float":
		return realValue(r)
	case "number":
		if r.one(2) {
			return integerValue(r, "")
		}
		return realValue(r)
	case "bool":
		return among(r, []string{"True", "False"})
	case "str":
		return among(r, texts)
	case "Device":
		return `torch.device("cpu")`
	}
	return "None"
}

func tensorValue(r source, known []string) string {
	name := among(r, known)
	switch r.IntN(12) {
	case 0:
		return "torch.to(" + name + ", " + among(r, []string{"0", "3", "4", "5", "6", "7", "9", "11", "15"}) + ")"
	case 1:
		return "torch.reshape(" + name + ", [-1])"
	case 2:
		return "torch.unsqueeze(" + name + ", 0)"
	case 3:
		return "torch.transpose(" + name + ", 0, -1)"
	case 4:
		return among(r, []string{"CONSTANTS.c0", "self.weight", "self.bias", "self.layer.weight", "(self.layer).weight"})
	case 5:
		return "torch.gt(" + name + ", 0)"
	case 6:
		return "torch.ones([" + among(r, integers[:8]) + ", " + among(r, integers[:8]) + "])"
	}
	return name
}

func integerValue(r source, name string) string {
	if name == "dtype" && !r.one(8) {
		return among(r, []string{"0", "1", "2", "3", "4", "5", "6", "7", "9", "11", "15"})
	}
	if r.one(6) {
		return among(r, integers)
	}
	return among(r, []string{"0", "1", "-1", "2", "-2", "3", "4"})
}

func realValue(r source) string {
	if r.one(4) {
		return among(r, reals)
	}
	return among(r, []string{"0.", "0.5", "1.", "2.", "0.10000000000000001"})
}
