// Package safetensors reads and writes the one form in which tensors travel and lie: an 8-byte little-endian header length, a JSON
// header, then the tensors' bytes.
//
// Invariants: a file that Decode accepts has exactly one reading - no duplicate names, no unknown keys, no gap, no overlap, no byte that
// belongs to no tensor - and reading it takes memory proportional to the header only. Errors speak of positions, never of what the file
// holds: records and trained weights both pass through here.
//
// Non-goals: no conversion of values, no dtype beyond those of bastionlab.v1, no memory mapping.
package safetensors

import (
	"errors"
	"fmt"
	"math"
	"slices"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
)

// ErrMalformed is wrapped by every error about a file's form.
var ErrMalformed = errors.New("malformed safetensors file")

const (
	// MaxHeaderBytes bounds the JSON header; a model of ten thousand parameters needs about a megabyte.
	MaxHeaderBytes = 8 << 20
	// MaxTensors bounds how many tensors one file names.
	MaxTensors = 65536
	// MaxRank bounds a tensor's dimensions.
	MaxRank = 16
	// MaxNameBytes bounds a tensor's name.
	MaxNameBytes = 1024

	lengthBytes = 8
)

// Tensor is one named tensor. Data may be nil where only the form matters (see Header and Scan).
type Tensor struct {
	Name  string
	DType bastionlabv1.DType
	Shape []int64
	Data  []byte
}

// Bytes is how many bytes the tensor's data has, by its dtype and shape.
func (t Tensor) Bytes() (int64, error) { return SizeBytes(t.DType, t.Shape) }

type dtypeForm struct {
	dtype bastionlabv1.DType
	name  string
	bytes int64
}

var dtypeForms = [...]dtypeForm{
	{bastionlabv1.DType_DTYPE_BOOL, "BOOL", 1},
	{bastionlabv1.DType_DTYPE_U8, "U8", 1},
	{bastionlabv1.DType_DTYPE_I8, "I8", 1},
	{bastionlabv1.DType_DTYPE_I16, "I16", 2},
	{bastionlabv1.DType_DTYPE_I32, "I32", 4},
	{bastionlabv1.DType_DTYPE_I64, "I64", 8},
	{bastionlabv1.DType_DTYPE_F16, "F16", 2},
	{bastionlabv1.DType_DTYPE_BF16, "BF16", 2},
	{bastionlabv1.DType_DTYPE_F32, "F32", 4},
	{bastionlabv1.DType_DTYPE_F64, "F64", 8},
}

func formOf(dtype bastionlabv1.DType) (dtypeForm, bool) {
	i := slices.IndexFunc(dtypeForms[:], func(f dtypeForm) bool { return f.dtype == dtype })
	if i < 0 {
		return dtypeForm{}, false
	}
	return dtypeForms[i], true
}

func formNamed(name string) (dtypeForm, bool) {
	i := slices.IndexFunc(dtypeForms[:], func(f dtypeForm) bool { return f.name == name })
	if i < 0 {
		return dtypeForm{}, false
	}
	return dtypeForms[i], true
}

// ItemBytes is the size of one element, and 0 for a dtype that is none of bastionlab.v1.
func ItemBytes(dtype bastionlabv1.DType) int64 {
	form, _ := formOf(dtype)
	return form.bytes
}

// DTypeName is the dtype as files and messages spell it, for example "F32".
func DTypeName(dtype bastionlabv1.DType) string {
	if form, ok := formOf(dtype); ok {
		return form.name
	}
	return "unknown"
}

// SizeBytes is the size of a tensor of the dtype and shape; it refuses an unknown dtype, a negative dimension and what does not fit
// in an int64. A rank of 0 is one element.
func SizeBytes(dtype bastionlabv1.DType, shape []int64) (int64, error) {
	form, ok := formOf(dtype)
	if !ok {
		return 0, fmt.Errorf("%w: unknown dtype", ErrMalformed)
	}
	if len(shape) > MaxRank {
		return 0, fmt.Errorf("%w: a rank of %d, at most %d is read", ErrMalformed, len(shape), MaxRank)
	}
	// The dimensions' product is checked with zeros left out, so that [2^62, 2^62, 0] is refused like [2^62, 2^62]: a reader that
	// multiplies in another order must not overflow where this one did not.
	size, empty := form.bytes, false
	for _, dim := range shape {
		switch {
		case dim < 0:
			return 0, fmt.Errorf("%w: a negative dimension", ErrMalformed)
		case dim == 0:
			empty = true
		case size > math.MaxInt64/dim:
			return 0, fmt.Errorf("%w: a tensor larger than can be addressed", ErrMalformed)
		default:
			size *= dim
		}
	}
	if empty {
		return 0, nil
	}
	return size, nil
}
