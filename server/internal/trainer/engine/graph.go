//go:build cgo

package engine

/*
#include "bastionlab_engine.h"
*/
import "C"

import (
	"errors"
	"strings"
	"unsafe"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
)

// C's texts end at the first zero byte: one within a name would make it another name there.
var errZeroByte = errors.New("a text of the graph holds a zero byte")

// graph lays a graph out for C, which judges it: no number is looked at here.
func (a *arena) graph(graph *trainerv1.Graph, tensors []safetensors.Tensor) (*C.bl_graph, error) {
	if err := checkTexts(graph); err != nil {
		return nil, err
	}
	out := &array[C.bl_graph](a, 1)[0]
	views := array[C.bl_tensor_view](a, len(tensors))
	for i, tensor := range tensors {
		views[i] = a.view(tensor)
	}
	parameters := array[C.bl_graph_parameter](a, len(graph.GetParameters()))
	for i, p := range graph.GetParameters() {
		parameters[i] = C.bl_graph_parameter{name: a.text(p.GetName()), tensor: C.int64_t(p.GetTensor()), trainable: flag(p.GetTrainable())}
	}
	steps := array[C.bl_graph_step](a, len(graph.GetSteps()))
	var flat []*trainerv1.Operand
	for i, s := range graph.GetSteps() {
		steps[i] = C.bl_graph_step{
			op: a.text(s.GetOperator()), overload: a.text(s.GetOverload()), layer: a.text(s.GetLayer()),
			n_operands: C.int64_t(len(s.GetOperands())), n_results: C.int64_t(s.GetResults()),
		}
		flat = flatten(flat, s.GetOperands())
	}
	operands := array[C.bl_operand](a, len(flat))
	for i, operand := range flat {
		operands[i] = a.operand(operand)
	}
	*out = C.bl_graph{
		tensors: unsafe.SliceData(views), n_tensors: C.int64_t(len(views)),
		parameters: unsafe.SliceData(parameters), n_parameters: C.int64_t(len(parameters)),
		steps: unsafe.SliceData(steps), n_steps: C.int64_t(len(steps)),
		operands: unsafe.SliceData(operands), n_operands: C.int64_t(len(operands)),
		output: C.int64_t(graph.GetOutput()), output_name: a.text(graph.GetOutputName()),
	}
	return out, nil
}

// flatten puts every list before its elements.
func flatten(out, operands []*trainerv1.Operand) []*trainerv1.Operand {
	for _, operand := range operands {
		out = append(out, operand)
		out = flatten(out, operand.GetList().GetElements())
	}
	return out
}

func (a *arena) operand(operand *trainerv1.Operand) C.bl_operand {
	out := C.bl_operand{text: a.empty()}
	switch kind := operand.GetKind().(type) {
	case *trainerv1.Operand_None:
		out.kind = C.BL_NONE
	case *trainerv1.Operand_Value:
		out.kind, out.integer = C.BL_VALUE, C.int64_t(kind.Value)
	case *trainerv1.Operand_Tensor:
		out.kind, out.integer = C.BL_TENSOR, C.int64_t(kind.Tensor)
	case *trainerv1.Operand_Boolean:
		out.kind, out.integer = C.BL_BOOLEAN, C.int64_t(flag(kind.Boolean))
	case *trainerv1.Operand_Integer:
		out.kind, out.integer = C.BL_INTEGER, C.int64_t(kind.Integer)
	case *trainerv1.Operand_Real:
		out.kind, out.real = C.BL_REAL, C.double(kind.Real)
	case *trainerv1.Operand_Text:
		out.kind, out.text = C.BL_TEXT, a.text(kind.Text)
	case *trainerv1.Operand_Device:
		out.kind = C.BL_DEVICE
	case *trainerv1.Operand_List_:
		out.kind, out.integer = C.BL_LIST, C.int64_t(len(kind.List.GetElements()))
	}
	return out // of no kind otherwise, which C refuses
}

func (a *arena) view(tensor safetensors.Tensor) C.bl_tensor_view {
	shape := array[C.int64_t](a, len(tensor.Shape))
	for i, dimension := range tensor.Shape {
		shape[i] = C.int64_t(dimension)
	}
	return C.bl_tensor_view{
		name: a.empty(), dtype: C.int32_t(tensor.DType), rank: C.int32_t(len(shape)), shape: unsafe.SliceData(shape),
		data: unsafe.Pointer(unsafe.SliceData(tensor.Data)), bytes: C.size_t(len(tensor.Data)),
	}
}

func checkTexts(graph *trainerv1.Graph) error {
	texts := []string{graph.GetOutputName(), graph.GetLoss()}
	for _, p := range graph.GetParameters() {
		texts = append(texts, p.GetName())
	}
	for _, s := range graph.GetSteps() {
		texts = append(texts, s.GetOperator(), s.GetOverload(), s.GetLayer())
		for _, operand := range flatten(nil, s.GetOperands()) {
			texts = append(texts, operand.GetText())
		}
	}
	for _, text := range texts {
		if strings.ContainsRune(text, 0) {
			return errZeroByte
		}
	}
	return nil
}
