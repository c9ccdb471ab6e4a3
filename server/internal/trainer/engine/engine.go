//go:build cgo

// Package engine binds the C interface of the private engine (server/engine/include) to the interface that package trainer declares.
// It is the only place that knows C's types.
//
// Invariants: all calls come from the OS thread that called Start, which the caller keeps (runtime.LockOSThread): libtorch's modes are
// thread-local, and its pool of workers belongs to the thread that called it first. No Go pointer outlives a call. Every handle is
// freed by Close, a trainer before its program.
//
// Non-goals: no decision is made here; whatever C returns is passed on.
package engine

/*
#cgo CFLAGS: -I${SRCDIR}/../../../engine/include
#include <stdlib.h>
#include "bastionlab_engine.h"
*/
import "C"

import (
	"fmt"
	"runtime"
	"unsafe"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
	"github.com/bastionlab/bastionlab/server/internal/trainer"
	"google.golang.org/protobuf/encoding/protojson"
)

// Engine is a started libtorch. Programs of it compute on one device.
type Engine struct{ device string }

var _ trainer.Engine = (*Engine)(nil)

// Start brings libtorch up, once per process, before the sandbox is closed. device is "cpu" or "cuda".
func Start(threads int, device string) (*Engine, error) {
	if got := int32(C.bl_abi_version()); got != C.BL_ENGINE_ABI {
		return nil, fmt.Errorf("the engine's interface has version %d, this binding is for %d", got, int(C.BL_ENGINE_ABI))
	}
	var (
		memory  arena
		failure C.bl_error
	)
	defer memory.free()
	if err := check(C.bl_start(C.int32_t(threads), memory.text(device), &failure), &failure); err != nil {
		return nil, fmt.Errorf("start libtorch: %w", err)
	}
	return &Engine{device}, nil
}

// QuoteLibtorch has failures tell what libtorch said.
// PRIVACY: that may quote values, so it is for processes that get no records and nobody's model.
func QuoteLibtorch() { C.bl_quote_libtorch() }

// ABI is the version of the C interface.
func (*Engine) ABI() int32 { return int32(C.bl_abi_version()) }

// Device is what programs compute on: "cpu" or "cuda".
func (e *Engine) Device() string { return e.device }

// TorchVersion is libtorch's.
func (*Engine) TorchVersion() string { return C.GoString(C.bl_torch_version()) }

// check turns a status into nil or a *trainer.Failure.
func check(status C.bl_status, failure *C.bl_error) error {
	if status == C.BL_OK {
		return nil
	}
	return &trainer.Failure{
		Status:   trainer.Status(status),
		Operator: C.GoString(&failure.op[0]),
		Layer:    C.GoString(&failure.layer[0]),
		Reason:   C.GoString(&failure.reason[0]),
	}
}

// Read understands an archive, which may lie in Go's memory: C keeps nothing of it.
func (*Engine) Read(archive []byte, schema *bastionlabv1.Schema, allowed []string) (trainer.Reading, error) {
	var memory arena
	defer memory.free()
	var (
		handle  *C.bl_intake
		failure C.bl_error
	)
	status := C.bl_intake_read((*C.uint8_t)(unsafe.SliceData(archive)), C.size_t(len(archive)), memory.schema(schema),
		memory.strings(allowed), C.size_t(len(allowed)), &handle, &failure)
	runtime.KeepAlive(archive)
	if err := check(status, &failure); err != nil {
		return nil, err
	}
	return &reading{handle}, nil
}

// Build makes a program of a graph. The tensors' data lies outside of Go's memory: in C's, or mapped.
func (e *Engine) Build(graph *trainerv1.Graph, tensors []safetensors.Tensor, allowed []string) (trainer.Program, error) {
	var memory arena
	defer memory.free()
	given, err := memory.graph(graph, tensors)
	if err != nil {
		return nil, &trainer.Failure{Status: trainer.InvalidArgument, Reason: err.Error()}
	}
	var (
		handle  *C.bl_program
		failure C.bl_error
	)
	status := C.bl_program_build(given, memory.schema(graph.GetSchema()), memory.text(graph.GetLoss()), memory.text(e.device),
		memory.strings(allowed), C.size_t(len(allowed)), &handle, &failure)
	if err := check(status, &failure); err != nil {
		return nil, err
	}
	return &program{handle}, nil
}

type program struct{ handle *C.bl_program }

func (p *program) Rehearse(passSize int64) error {
	var failure C.bl_error
	return check(C.bl_program_rehearse(p.handle, C.int64_t(passSize), &failure), &failure)
}

func (p *program) Report() (*bastionlabv1.CapabilityReport, error) {
	report := &bastionlabv1.CapabilityReport{}
	if err := protojson.Unmarshal([]byte(C.GoString(C.bl_program_report(p.handle))), report); err != nil {
		return nil, fmt.Errorf("the engine's report: %w", err)
	}
	return report, nil
}

func (p *program) Close() {
	C.bl_program_free(p.handle)
	p.handle = nil
}

func (p *program) Train(training trainer.Training) (trainer.Trainer, error) {
	optimizer, err := optimizerOf(training.Optimizer)
	if err != nil {
		return nil, err
	}
	release := C.int32_t(C.BL_CERTIFIED)
	if training.Exact {
		release = C.BL_EXACT
	}
	settings := C.bl_training{
		pass_size:     C.int64_t(training.PassSize),
		is_private:    flag(training.Private),
		release:       release,
		grid_exponent: C.int32_t(training.GridExponent),
		clipping_norm: C.double(training.ClippingNorm),
		noise_stddev:  C.double(training.NoiseStddev),
		normalizer:    C.double(training.Normalizer),
		loss_bound:    C.double(training.LossBound),
		optimizer:     optimizer,
	}
	var (
		handle  *C.bl_trainer
		failure C.bl_error
	)
	if err := check(C.bl_trainer_create(p.handle, &settings, &handle, &failure), &failure); err != nil {
		return nil, err
	}
	return &run{handle}, nil
}

func flag(b bool) C.int32_t {
	if b {
		return 1
	}
	return 0
}

func optimizerOf(optimizer *bastionlabv1.Optimizer) (C.bl_optimizer, error) {
	switch kind := optimizer.GetKind().(type) {
	case *bastionlabv1.Optimizer_Sgd:
		return C.bl_optimizer{
			kind: C.BL_SGD, lr: C.double(kind.Sgd.GetLr()), weight_decay: C.double(kind.Sgd.GetWeightDecay()),
			momentum: C.double(kind.Sgd.GetMomentum()), dampening: C.double(kind.Sgd.GetDampening()), nesterov: flag(kind.Sgd.GetNesterov()),
		}, nil
	case *bastionlabv1.Optimizer_Adam:
		return adamOf(C.BL_ADAM, kind.Adam), nil
	case *bastionlabv1.Optimizer_Adamw:
		return adamOf(C.BL_ADAMW, kind.Adamw), nil
	}
	return C.bl_optimizer{}, &trainer.Failure{Status: trainer.InvalidArgument, Reason: "unknown optimizer"}
}

func adamOf(kind C.int32_t, adam *bastionlabv1.Adam) C.bl_optimizer {
	return C.bl_optimizer{
		kind: kind, lr: C.double(adam.GetLr()), weight_decay: C.double(adam.GetWeightDecay()),
		beta1: C.double(adam.GetBeta1()), beta2: C.double(adam.GetBeta2()), eps: C.double(adam.GetEps()), amsgrad: flag(adam.GetAmsgrad()),
	}
}
