package dataset

import (
	"math"
	"unicode"
	"unicode/utf8"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
)

const uploadAgain = "correct it and upload again"

func invalid(next, format string, args ...any) error {
	return refusal.New(refusal.InvalidArgument, next, format, args...)
}

// checkSchema refuses what no record can have, and returns a record's size.
func checkSchema(schema *bastionlabv1.Schema, limits Limits) (recordBytes int64, err error) {
	if len(schema.GetInputs()) == 0 || schema.GetLabel() == nil {
		return 0, invalid("let items be (inputs, label)", "a record needs an input and a label")
	}
	if len(schema.GetInputs()) > limits.Inputs {
		return 0, invalid("join some of them", "a record has %d inputs, at most %d are taken", len(schema.GetInputs()), limits.Inputs)
	}
	seen := map[string]bool{}
	for i, input := range schema.GetInputs() {
		name := input.GetName()
		if err := checkTensorName(i, name, schema.GetNamedInputs(), limits); err != nil {
			return 0, err
		}
		if seen[name] {
			return 0, invalid("name every input differently", "two inputs are named %q", name)
		}
		seen[name] = true
	}
	for i, spec := range specs(schema) {
		if err := checkSpec(tensorNames(schema)[i], spec, limits); err != nil {
			return 0, err
		}
	}
	_, recordBytes, err = Layout(schema)
	if err != nil || recordBytes > limits.RecordBytes {
		return 0, invalid("make the records smaller", "a record is larger than %d bytes, the most that is taken", limits.RecordBytes)
	}
	return recordBytes, nil
}

func checkSpec(name string, spec *bastionlabv1.TensorSpec, limits Limits) error {
	if safetensors.ItemBytes(spec.GetDtype()) == 0 {
		return invalid("convert it to bool, an integer or a floating-point dtype", "the dtype of %q is none that is taken", name)
	}
	if len(spec.GetShape()) > limits.Rank {
		return invalid("flatten it", "%q has %d dimensions, at most %d are taken", name, len(spec.GetShape()), limits.Rank)
	}
	for _, dim := range spec.GetShape() {
		if dim < 1 {
			return invalid("leave tensors without elements out", "%q has a dimension of %d, at least 1 is needed", name, dim)
		}
	}
	// One tensor's size first, so that sums of several cannot overflow.
	if size, err := safetensors.SizeBytes(spec.GetDtype(), spec.GetShape()); err != nil || size > limits.RecordBytes {
		return invalid("make the records smaller", "%q alone is larger than %d bytes, the most that a record may have", name, limits.RecordBytes)
	}
	return nil
}

// checkTensorName: an input that goes to forward by its name must have one that a parameter of forward can have.
func checkTensorName(i int, name string, named bool, limits Limits) error {
	if name == "" || len(name) > limits.TensorNameBytes || !printable(name, false) {
		return invalid("name it with 1 to 128 printable characters", "the name of input %d is empty, too long or not printable", i)
	}
	if named && !identifier(name) {
		return invalid("name inputs as forward's parameters are named", "the input %q cannot be a parameter of forward", name)
	}
	return nil
}

func identifier(name string) bool {
	for i, r := range name {
		if r != '_' && !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r)) {
			return false
		}
	}
	return name != ""
}

// printable keeps control characters out of logs and terminals; multiline lets newlines and tabs pass.
func printable(text string, multiline bool) bool {
	if !utf8.ValidString(text) {
		return false
	}
	for _, r := range text {
		if !unicode.IsPrint(r) && !(multiline && (r == '\n' || r == '\t')) {
			return false
		}
	}
	return true
}

// checkPublic refuses facts about tensors that there are not, and ranges that hold nothing.
func checkPublic(facts *bastionlabv1.PublicFacts, schema *bastionlabv1.Schema) error {
	if facts.GetClasses() < 0 || facts.GetClasses() > math.MaxInt32 {
		return invalid("give the number of classes, or leave it out", "the published number of classes is negative or too large")
	}
	known := map[string]bool{LabelName: true}
	for _, input := range schema.GetInputs() {
		known[input.GetName()] = true
	}
	seen := map[string]bool{}
	for _, published := range facts.GetRanges() {
		name := published.GetTensor()
		if !known[name] || seen[name] {
			return invalid("publish one range for an input or for \"label\"", "a published range is for no tensor of the schema, or the second for one")
		}
		seen[name] = true
		if !finite(published.GetLow()) || !finite(published.GetHigh()) || published.GetLow() > published.GetHigh() {
			return invalid("give finite bounds, the lower first", "the published range of %q holds nothing", name)
		}
	}
	return nil
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// CheckLabel refuses a loss that cannot take the schema's label, before a model is read.
func CheckLabel(schema *bastionlabv1.Schema, loss string) error {
	dtype := schema.GetLabel().GetDtype()
	switch loss {
	case "cross_entropy":
		switch dtype {
		case bastionlabv1.DType_DTYPE_U8, bastionlabv1.DType_DTYPE_I8, bastionlabv1.DType_DTYPE_I16, bastionlabv1.DType_DTYPE_I32, bastionlabv1.DType_DTYPE_I64:
			return nil
		}
		return invalid("use integer labels, or another loss", "cross_entropy needs labels that are integers (class numbers), and the label is %s", safetensors.DTypeName(dtype))
	case "bce_with_logits", "l2", "mse", "l1":
		if safetensors.ItemBytes(dtype) == 0 {
			return invalid("use the dataset's own schema", "the label has no known dtype")
		}
		return nil
	}
	return invalid("use cross_entropy, bce_with_logits, l2 (= mse) or l1", "the loss is none that is known")
}
