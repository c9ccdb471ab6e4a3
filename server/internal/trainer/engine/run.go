//go:build cgo

package engine

/*
#include <stdlib.h>
#include "bastionlab_engine.h"
#include "random.h"
*/
import "C"

import (
	"fmt"
	"io"
	"runtime/cgo"
	"unsafe"

	"github.com/bastionlab/bastionlab/server/internal/safetensors"
)

type run struct{ handle *C.bl_trainer }

func (r *run) Pass(records []byte, count int64, slots []int64, seeds []uint64) (bool, error) {
	var (
		failed  C.int32_t
		failure C.bl_error
	)
	status := C.bl_trainer_pass(r.handle, (*C.uint8_t)(unsafe.SliceData(records)), C.int64_t(count),
		(*C.int64_t)(unsafe.SliceData(slots)), (*C.uint64_t)(unsafe.SliceData(seeds)), C.int64_t(len(slots)), &failed, &failure)
	return failed != 0, check(status, &failure)
}

func (r *run) Probe(records []byte, count, slot int64, seed uint64) (bool, error) {
	var (
		failed  C.int32_t
		failure C.bl_error
	)
	status := C.bl_trainer_probe(r.handle, (*C.uint8_t)(unsafe.SliceData(records)), C.int64_t(count), C.int64_t(slot),
		C.uint64_t(seed), &failed, &failure)
	return failed != 0, check(status, &failure)
}

func (r *run) Again(records []byte, count int64, slots []int64, seeds []uint64) error {
	var failure C.bl_error
	status := C.bl_trainer_again(r.handle, (*C.uint8_t)(unsafe.SliceData(records)), C.int64_t(count),
		(*C.int64_t)(unsafe.SliceData(slots)), (*C.uint64_t)(unsafe.SliceData(seeds)), C.int64_t(len(slots)), &failure)
	return check(status, &failure)
}

func (r *run) Step(random io.Reader) error {
	handle := cgo.NewHandle(random)
	defer handle.Delete()
	var failure C.bl_error
	return check(C.bl_step_with_go_random(r.handle, C.uintptr_t(handle), &failure), &failure)
}

func (r *run) Loss() float64 { return float64(C.bl_trainer_loss(r.handle)) }

// fillRandom is called by C in the midst of Step, by one of its threads at a time.
//
//export fillRandom
func fillRandom(handle C.uintptr_t, out *C.uint8_t, n C.size_t) {
	random := cgo.Handle(handle).Value().(io.Reader)
	if _, err := io.ReadFull(random, unsafe.Slice((*byte)(out), int(n))); err != nil {
		// PRIVACY: C has no way to hear of it, and a step without noise must not happen: the process ends here.
		panic(fmt.Errorf("noise: %w", err))
	}
}

// Parameters point into C's memory.
func (r *run) Parameters() ([]safetensors.Tensor, error) {
	tensors := make([]safetensors.Tensor, int(C.bl_trainer_parameter_count(r.handle)))
	for i := range tensors {
		var (
			view    C.bl_tensor_view
			failure C.bl_error
		)
		if err := check(C.bl_trainer_parameter(r.handle, C.int64_t(i), &view, &failure), &failure); err != nil {
			return nil, err
		}
		tensors[i] = tensorOf(view)
	}
	return tensors, nil
}

func (r *run) SetParameter(tensor safetensors.Tensor) error {
	name := C.CString(tensor.Name)
	defer C.free(unsafe.Pointer(name))
	var failure C.bl_error
	status := C.bl_trainer_set_parameter(r.handle, name, C.int32_t(tensor.DType), unsafe.Pointer(unsafe.SliceData(tensor.Data)),
		C.size_t(len(tensor.Data)), &failure)
	return check(status, &failure)
}

// State points into C's memory.
func (r *run) State() ([]safetensors.Tensor, error) {
	var (
		count   C.int64_t
		failure C.bl_error
	)
	if err := check(C.bl_trainer_state_count(r.handle, &count, &failure), &failure); err != nil {
		return nil, err
	}
	tensors := make([]safetensors.Tensor, int(count))
	for i := range tensors {
		var view C.bl_tensor_view
		if err := check(C.bl_trainer_state(r.handle, C.int64_t(i), &view, &failure), &failure); err != nil {
			return nil, err
		}
		tensors[i] = tensorOf(view)
	}
	return tensors, nil
}

func (r *run) SetState(tensor safetensors.Tensor) error {
	var memory arena
	defer memory.free()
	view := &array[C.bl_tensor_view](&memory, 1)[0]
	*view = memory.view(tensor)
	view.name = memory.text(tensor.Name)
	var failure C.bl_error
	return check(C.bl_trainer_set_state(r.handle, view, &failure), &failure)
}

func (r *run) Close() {
	C.bl_trainer_free(r.handle)
	r.handle = nil
}
