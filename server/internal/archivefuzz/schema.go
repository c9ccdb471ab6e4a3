package archivefuzz

import (
	"slices"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
)

// changeSchema changes what the dataset is said to hold. The author of a model may own a dataset too. It stays one that is taken.
func changeSchema(r source, s *Sample) {
	inputs := s.Schema.GetInputs()
	spec := s.Schema.GetLabel()
	if len(inputs) > 0 && !r.one(4) {
		spec = inputs[r.IntN(len(inputs))]
	}
	switch kind := r.IntN(7); {
	case kind < 2 && len(spec.GetShape()) > 0:
		spec.Shape[r.IntN(len(spec.Shape))] = among(r, []int64{1, 2, 3, 4, 5, 8, 33})
	case kind == 2 && len(spec.GetShape()) > 0:
		at := r.IntN(len(spec.Shape))
		spec.Shape = slices.Delete(spec.Shape, at, at+1)
	case kind == 3 && len(spec.GetShape()) < 6:
		spec.Shape = slices.Insert(spec.Shape, r.IntN(len(spec.GetShape())+1), among(r, []int64{1, 2, 3}))
	case kind == 4:
		spec.Dtype = bastionlabv1.DType(1 + r.IntN(10))
	case kind == 5 && len(inputs) > 1:
		at := r.IntN(len(inputs))
		s.Schema.Inputs = slices.Delete(inputs, at, at+1)
	default:
		s.Loss = among(r, []string{"cross_entropy", "bce_with_logits", "l2", "mse", "l1"})
	}
}
