package model

import (
	"slices"
	"strings"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

var (
	integers = []bastionlabv1.DType{bastionlabv1.DType_DTYPE_U8, bastionlabv1.DType_DTYPE_I8, bastionlabv1.DType_DTYPE_I16,
		bastionlabv1.DType_DTYPE_I32, bastionlabv1.DType_DTYPE_I64}
	floats = []bastionlabv1.DType{bastionlabv1.DType_DTYPE_F16, bastionlabv1.DType_DTYPE_BF16, bastionlabv1.DType_DTYPE_F32,
		bastionlabv1.DType_DTYPE_F64}
)

// losses says which labels each loss is computed from.
var losses = map[string]struct {
	labels []bastionlabv1.DType
	words  string
}{
	"cross_entropy":   {integers, "integers, the class of each record"},
	"bce_with_logits": {slices.Concat(floats, integers, []bastionlabv1.DType{bastionlabv1.DType_DTYPE_BOOL}), "numbers or booleans"},
	"l2":              {floats, "floating-point numbers"},
	"mse":             {floats, "floating-point numbers"},
	"l1":              {floats, "floating-point numbers"},
}

// CheckLoss refuses a loss that cannot be computed from a label.
func CheckLoss(loss string, label *bastionlabv1.TensorSpec) error {
	known, ok := losses[loss]
	if !ok {
		return refusal.New(refusal.InvalidArgument, "choose one of "+strings.Join(lossNames(), ", "), "there is no loss %q", loss)
	}
	if !slices.Contains(known.labels, label.GetDtype()) {
		dtype := strings.ToLower(strings.TrimPrefix(label.GetDtype().String(), "DTYPE_"))
		return refusal.New(refusal.InvalidArgument, "choose another loss, or ask the dataset's owner for other labels",
			"the loss %s takes labels that are %s; this dataset's label is %s", loss, known.words, dtype)
	}
	return nil
}

func lossNames() []string {
	names := make([]string, 0, len(losses))
	for name := range losses {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
