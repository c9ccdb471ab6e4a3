//go:build cgo

package engine

/*
#include <stdlib.h>
#include "bastionlab_engine.h"
#include "random.h"
*/
import "C"

import (
	"io"
	"runtime/cgo"
	"unsafe"

	"github.com/bastionlab/bastionlab/server/internal/safetensors"
	"github.com/bastionlab/bastionlab/server/internal/trainer"
)

func (p *program) Evaluate(evaluation trainer.Evaluation) (trainer.Evaluator, error) {
	metric := C.CString(evaluation.Metric)
	defer C.free(unsafe.Pointer(metric))
	settings := C.bl_evaluation{
		metric: metric, bound: C.double(evaluation.Bound), is_private: flag(evaluation.Private), noise_stddev: C.double(evaluation.NoiseStddev),
	}
	var (
		handle  *C.bl_evaluator
		failure C.bl_error
	)
	if err := check(C.bl_evaluator_create(p.handle, &settings, &handle, &failure), &failure); err != nil {
		return nil, err
	}
	return &evaluator{handle}, nil
}

type evaluator struct{ handle *C.bl_evaluator }

func (e *evaluator) ParameterCount() int { return int(C.bl_evaluator_parameter_count(e.handle)) }

func (e *evaluator) SetParameter(tensor safetensors.Tensor) error {
	name := C.CString(tensor.Name)
	defer C.free(unsafe.Pointer(name))
	var failure C.bl_error
	status := C.bl_evaluator_set_parameter(e.handle, name, C.int32_t(tensor.DType), unsafe.Pointer(unsafe.SliceData(tensor.Data)),
		C.size_t(len(tensor.Data)), &failure)
	return check(status, &failure)
}

func (e *evaluator) Add(records []byte, count, slot int64, seed uint64) error {
	var failure C.bl_error
	status := C.bl_evaluator_add(e.handle, (*C.uint8_t)(unsafe.SliceData(records)), C.int64_t(count), C.int64_t(slot), C.uint64_t(seed), &failure)
	return check(status, &failure)
}

func (e *evaluator) Release(random io.Reader) (int64, error) {
	handle := cgo.NewHandle(random)
	defer handle.Delete()
	var (
		sum     C.int64_t
		failure C.bl_error
	)
	status := C.bl_release_with_go_random(e.handle, C.uintptr_t(handle), &sum, &failure)
	return int64(sum), check(status, &failure)
}

func (e *evaluator) Close() {
	C.bl_evaluator_free(e.handle)
	e.handle = nil
}
