//go:build cgo

package engine

/*
#include "bastionlab_engine.h"
*/
import "C"

import (
	"fmt"
	"slices"
	"unsafe"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
)

// reading is what C understood of an archive.
type reading struct{ handle *C.bl_intake }

func (r *reading) Close() {
	C.bl_intake_free(r.handle)
	r.handle = nil
}

// Tensors point into C's memory. They have no names: the graph speaks of them by number.
func (r *reading) Tensors() ([]safetensors.Tensor, error) {
	graph := C.bl_intake_graph(r.handle)
	var tensors []safetensors.Tensor
	for _, view := range unsafe.Slice(graph.tensors, int(graph.n_tensors)) {
		tensors = append(tensors, tensorOf(view))
	}
	return tensors, nil
}

func tensorOf(view C.bl_tensor_view) safetensors.Tensor {
	return safetensors.Tensor{
		Name:  C.GoString(view.name),
		DType: bastionlabv1.DType(view.dtype),
		Shape: slices.Clone(unsafe.Slice((*int64)(view.shape), int(view.rank))),
		Data:  unsafe.Slice((*byte)(view.data), int(view.bytes)),
	}
}

// Graph is the graph without what C does not know: the schema's message and the loss.
func (r *reading) Graph() (*trainerv1.Graph, error) {
	given := C.bl_intake_graph(r.handle)
	graph := &trainerv1.Graph{Output: int64(given.output), OutputName: C.GoString(given.output_name)}
	for _, p := range unsafe.Slice(given.parameters, int(given.n_parameters)) {
		graph.Parameters = append(graph.Parameters, &trainerv1.Parameter{
			Name: C.GoString(p.name), Tensor: int64(p.tensor), Trainable: p.trainable != 0,
		})
	}
	rest := operands(unsafe.Slice(given.operands, int(given.n_operands)))
	for _, s := range unsafe.Slice(given.steps, int(given.n_steps)) {
		step := &trainerv1.Step{
			Operator: C.GoString(s.op), Overload: C.GoString(s.overload), Layer: C.GoString(s.layer), Results: int64(s.n_results),
		}
		for range int(s.n_operands) {
			operand, err := rest.next()
			if err != nil {
				return nil, err
			}
			step.Operands = append(step.Operands, operand)
		}
		graph.Steps = append(graph.Steps, step)
	}
	return graph, nil
}

// operands are those that were not yet taken.
type operands []C.bl_operand

// next takes one operand, with its elements where it is a list.
func (o *operands) next() (*trainerv1.Operand, error) {
	if len(*o) == 0 {
		return nil, fmt.Errorf("the engine's graph lacks an operand")
	}
	given := (*o)[0]
	*o = (*o)[1:]
	switch given.kind {
	case C.BL_NONE:
		return &trainerv1.Operand{Kind: &trainerv1.Operand_None{None: true}}, nil
	case C.BL_VALUE:
		return &trainerv1.Operand{Kind: &trainerv1.Operand_Value{Value: int64(given.integer)}}, nil
	case C.BL_TENSOR:
		return &trainerv1.Operand{Kind: &trainerv1.Operand_Tensor{Tensor: int64(given.integer)}}, nil
	case C.BL_BOOLEAN:
		return &trainerv1.Operand{Kind: &trainerv1.Operand_Boolean{Boolean: given.integer != 0}}, nil
	case C.BL_INTEGER:
		return &trainerv1.Operand{Kind: &trainerv1.Operand_Integer{Integer: int64(given.integer)}}, nil
	case C.BL_REAL:
		return &trainerv1.Operand{Kind: &trainerv1.Operand_Real{Real: float64(given.real)}}, nil
	case C.BL_TEXT:
		return &trainerv1.Operand{Kind: &trainerv1.Operand_Text{Text: C.GoString(given.text)}}, nil
	case C.BL_DEVICE:
		return &trainerv1.Operand{Kind: &trainerv1.Operand_Device{Device: true}}, nil
	case C.BL_LIST:
		list := &trainerv1.Operand_List{}
		for range int(given.integer) {
			element, err := o.next()
			if err != nil {
				return nil, err
			}
			list.Elements = append(list.Elements, element)
		}
		return &trainerv1.Operand{Kind: &trainerv1.Operand_List_{List: list}}, nil
	}
	return nil, fmt.Errorf("the engine's graph has an operand of kind %d", int(given.kind))
}
