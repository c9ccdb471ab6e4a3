package archivefuzz

import (
	"bytes"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var (
	wordForm = regexp.MustCompile(`[A-Za-z_][A-Za-z_0-9]*|-?[0-9]+\.[0-9e+-]*|-?[0-9]+|"[^"]*"|\S`)
	// Of one assignment at the first level of a function: the variable's name.
	assignedForm = regexp.MustCompile(`^    ([A-Za-z_][A-Za-z_0-9]*) = `)
	argumentForm = regexp.MustCompile(`([A-Za-z_][A-Za-z_0-9]*): Tensor`)
	operatorForm = regexp.MustCompile(`\b(torch|ops\.[a-z]+)\.([A-Za-z_][A-Za-z_0-9]*)\(`)
)

// words of the language, from which one is put for another.
var vocabulary = []string{
	"True", "False", "None", "self", "Tensor", "int", "float", "bool", "str", "Optional[Tensor]", "List[int]", "List[Tensor]", "Dict[str, Tensor]",
	"Tuple[int, int]", "Future[Tensor]", "Any", "inf", "nan", "CONSTANTS.c0", "CONSTANTS.c1", "CONSTANTS.c99", "annotate(List[int], [])",
	"unchecked_cast(Tensor, self)", "uninitialized(Tensor)", "getattr", "hasattr", "not", "is", "in", "while", "for", "if", "else", "return", "break",
	"continue", "raise", "assert", "del", "pass", "def", "class", "import", "lambda", "global", "with", "as", "fork", "prim", "ops", "torch", "__torch__",
	"len", "range", "print", "isinstance", "tuple", "list", "dict", "set", "min", "max", "sum", "round", "hash", "id", "-", "+", "*", "**", "/", "//", "%",
	"@", "~", "&", "|", "^", "<<", ">>", "==", "!=", "<", ">", "<=", ">=", "[", "]", "(", ")", "{", "}", ",", ":", ".", "=", "+=", "->", ";", "\\", "#", "'",
}

var integers = []string{
	"0", "1", "-1", "2", "-2", "3", "4", "5", "7", "8", "15", "16", "63", "64", "255", "256", "65536", "1000000", "2147483647", "2147483648", "-2147483648", "4294967296",
	"9223372036854775807", "-9223372036854775808", "9223372036854775808", "1000000000000",
}

var reals = []string{"0.", "1.", "-1.", "0.5", "2.", "1e-45", "1.0000000000000001e-05", "1e38", "1e308", "-1e308", "1e-300", "inf", "nan", "-inf"}

// changeCode changes the text of a module by its words or lines.
func (m *Mutator) changeCode(r source, code []byte) []byte {
	switch r.IntN(10) {
	case 0, 1, 2, 3:
		return changeWord(r, code)
	case 4:
		return m.changeOperator(r, code)
	case 5, 6, 7:
		return changeLine(r, code)
	case 8:
		return changeVariable(r, code)
	}
	if r.one(12) {
		return bomb(r, code)
	}
	return changeWord(r, code)
}

func changeWord(r source, code []byte) []byte {
	words := wordForm.FindAllIndex(code, -1)
	if len(words) == 0 {
		return code
	}
	at := words[r.IntN(len(words))]
	word := code[at[0]:at[1]]
	if r.one(2) {
		// Numbers are rare among words, and most is hidden behind them.
		for range 6 {
			if isNumber(word) {
				break
			}
			at = words[r.IntN(len(words))]
			word = code[at[0]:at[1]]
		}
	}
	var other []byte
	switch {
	case isNumber(word) && bytes.ContainsAny(word, ".e"):
		other = []byte(among(r, reals))
	case isNumber(word):
		other = []byte(anyIntegerNear(r, string(word)))
	case r.one(3):
		other = []byte(among(r, vocabulary))
	case r.one(4):
		other = nil
	default:
		from := words[r.IntN(len(words))]
		other = code[from[0]:from[1]]
	}
	return slices.Concat(code[:at[0]], other, code[at[1]:])
}

func isNumber(word []byte) bool {
	return len(word) > 0 && (word[0] >= '0' && word[0] <= '9' || len(word) > 1 && word[0] == '-' && word[1] >= '0' && word[1] <= '9')
}

func anyIntegerNear(r source, word string) string {
	if value, err := strconv.ParseInt(word, 10, 64); err == nil && r.one(2) {
		return strconv.FormatInt(value+int64(r.IntN(5))-2, 10)
	}
	return among(r, integers)
}

// changeOperator puts the name of another operator for one that is called.
func (m *Mutator) changeOperator(r source, code []byte) []byte {
	calls := operatorForm.FindAllSubmatchIndex(code, -1)
	if len(calls) == 0 || len(m.calls) == 0 {
		return changeWord(r, code)
	}
	at := calls[r.IntN(len(calls))]
	return slices.Concat(code[:at[4]], []byte(among(r, m.calls).name), code[at[5]:])
}

func changeLine(r source, code []byte) []byte {
	lines := bytes.Split(code, []byte("\n"))
	at, other := r.IntN(len(lines)), r.IntN(len(lines))
	switch r.IntN(6) {
	case 0:
		lines = slices.Delete(lines, at, at+1)
	case 1:
		lines = slices.Insert(lines, at, lines[other])
	case 2:
		lines[at], lines[other] = lines[other], lines[at]
	case 3:
		lines = slices.Insert(lines, at, lines[at])
	case 4:
		lines[at] = append([]byte("  "), lines[at]...)
	case 5:
		lines = slices.Insert(lines, at, []byte(among(r, []string{
			"    x = torch.add_(x, x, alpha=1)", "    if bool(torch.gt(torch.sum(x), 0)):", "    for _ in range(3):", "    ops.prim.RaiseException(\"x\")",
			"    _9 = torch.item(x)", "  __annotations__ = []", "  x : Tensor", "  __parameters__ = [\"x\", ]", "  def forward(self: Tensor) -> Tensor:", "    return x",
			"    _8 = fork(self.forward, x)", "    self.weight = x", "op_version_set = 99", "import __torch__.x", "    _7 = torch.tensor([1, 2, 3])", "    x = CONSTANTS.c0",
			"    _6 = (self).forward(x, )", "class X(Module):", "    _5 = [x, x, x]", "    _4 = {\"a\": x}", "    _3, _2 = x, x", "    x = torch.to(x, 7)",
		})))
	}
	return bytes.Join(lines, []byte("\n"))
}

// changeVariable puts one variable for another of the same function.
func changeVariable(r source, code []byte) []byte {
	known := tensors(bytes.Split(code, []byte("\n")), -1)
	if len(known) < 2 {
		return changeWord(r, code)
	}
	from, to := among(r, known), among(r, known)
	places := regexp.MustCompile(`\b`+regexp.QuoteMeta(from)+`\b`).FindAllIndex(code, -1)
	if len(places) == 0 {
		return code
	}
	at := places[r.IntN(len(places))]
	return slices.Concat(code[:at[0]], []byte(to), code[at[1]:])
}

// tensors are the names that hold tensors before a line, as far as their form tells; before -1: anywhere.
func tensors(lines [][]byte, before int) []string {
	var known []string
	for i, line := range lines {
		if before >= 0 && i >= before {
			break
		}
		if bytes.HasPrefix(line, []byte("  def ")) && before >= 0 {
			known = nil // another function
		}
		for _, found := range argumentForm.FindAllSubmatch(line, -1) {
			known = append(known, string(found[1]))
		}
		if found := assignedForm.FindSubmatch(line); found != nil && bytes.Contains(line, []byte("= torch.")) {
			known = append(known, string(found[1]))
		}
	}
	return known
}

// bomb makes much of little: deep nesting, long loops, many lines.
func bomb(r source, code []byte) []byte {
	count := 1 << (4 + r.IntN(13))
	words := wordForm.FindAllIndex(code, -1)
	if len(words) == 0 {
		return code
	}
	at := words[r.IntN(len(words))]
	word := string(code[at[0]:at[1]])
	var text string
	switch r.IntN(6) {
	case 0:
		text = strings.Repeat("(", count) + word + strings.Repeat(")", count)
	case 1:
		text = strings.Repeat("[", count) + word + strings.Repeat("]", count)
	case 2:
		text = strings.Repeat("-", count) + word
	case 3:
		text = word + strings.Repeat("+"+word, count)
	case 4:
		text = strings.Repeat("Optional[", count) + "Tensor" + strings.Repeat("]", count)
	case 5:
		text = strings.Repeat("a", count)
	}
	return slices.Concat(code[:at[0]], []byte(text), code[at[1]:])
}
