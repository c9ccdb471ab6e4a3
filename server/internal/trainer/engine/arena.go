//go:build cgo

package engine

/*
#include <stdlib.h>
#include "bastionlab_engine.h"
*/
import "C"

import (
	"unsafe"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
)

// arena holds what one call needs in C's memory: structures that point to each other may not lie in Go's.
type arena struct{ blocks []unsafe.Pointer }

func (a *arena) free() {
	for _, block := range a.blocks {
		C.free(block)
	}
	a.blocks = nil
}

func (a *arena) text(s string) *C.char {
	text := C.CString(s)
	a.blocks = append(a.blocks, unsafe.Pointer(text))
	return text
}

// empty is the empty text.
func (a *arena) empty() *C.char { return &array[C.char](a, 1)[0] }

// array makes room for n elements, zeroed; never nil, so that C may look at it even where n is 0.
func array[T any](a *arena, n int) []T {
	block := C.calloc(C.size_t(max(n, 1)), C.size_t(unsafe.Sizeof(*new(T))))
	a.blocks = append(a.blocks, block)
	return unsafe.Slice((*T)(block), max(n, 1))[:n]
}

func (a *arena) strings(texts []string) **C.char {
	list := array[*C.char](a, len(texts))
	for i, text := range texts {
		list[i] = a.text(text)
	}
	return unsafe.SliceData(list)
}

// schema lays a record out: inputs in order, then the label, without padding.
func (a *arena) schema(schema *bastionlabv1.Schema) *C.bl_schema {
	layout := &array[C.bl_schema](a, 1)[0]
	inputs := array[C.bl_tensor_spec](a, len(schema.GetInputs()))
	offset := int64(0)
	for i, input := range schema.GetInputs() {
		inputs[i], offset = a.tensor(input, offset)
	}
	layout.inputs, layout.n_inputs = unsafe.SliceData(inputs), C.int64_t(len(inputs))
	layout.label, offset = a.tensor(schema.GetLabel(), offset)
	layout.record_bytes = C.int64_t(offset)
	layout.named_inputs = flag(schema.GetNamedInputs())
	return layout
}

func (a *arena) tensor(spec *bastionlabv1.TensorSpec, offset int64) (C.bl_tensor_spec, int64) {
	shape := array[C.int64_t](a, len(spec.GetShape()))
	for i, dimension := range spec.GetShape() {
		shape[i] = C.int64_t(dimension)
	}
	size, err := safetensors.SizeBytes(spec.GetDtype(), spec.GetShape())
	if err != nil {
		size = 0 // the engine judges the dtype and the shape, and refuses them
	}
	return C.bl_tensor_spec{
		name: a.text(spec.GetName()), dtype: C.int32_t(spec.GetDtype()), rank: C.int32_t(len(shape)),
		shape: unsafe.SliceData(shape), offset: C.int64_t(offset),
	}, offset + size
}
