"""The C ABI of ../include/bastionlab_engine.h as ctypes sees it: structures, prototypes, numbers. No behaviour."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char, c_char_p, c_double, c_int32, c_int64, c_size_t, c_uint8, c_uint64, c_void_p
from enum import IntEnum
from pathlib import Path

import torch

ABI_VERSION = 3


class Status(IntEnum):
    OK = 0
    INVALID_ARGUMENT = 1
    BAD_ARCHIVE = 2
    INCOMPATIBLE_MODEL = 3
    FORWARD_FAILED = 4
    LOSS_MISMATCH = 5
    OUT_OF_MEMORY = 6
    INTERNAL = 7


DTYPES: dict[torch.dtype, int] = {
    torch.bool: 1,
    torch.uint8: 2,
    torch.int8: 3,
    torch.int16: 4,
    torch.int32: 5,
    torch.int64: 6,
    torch.float16: 7,
    torch.bfloat16: 8,
    torch.float32: 9,
    torch.float64: 10,
}


class Error(ctypes.Structure):
    _fields_ = [("op", c_char * 128), ("layer", c_char * 256), ("reason", c_char * 1024)]


class TensorSpec(ctypes.Structure):
    _fields_ = [
        ("name", c_char_p),
        ("dtype", c_int32),
        ("rank", c_int32),
        ("shape", POINTER(c_int64)),
        ("offset", c_int64),
    ]


class Schema(ctypes.Structure):
    _fields_ = [
        ("inputs", POINTER(TensorSpec)),
        ("n_inputs", c_int64),
        ("label", TensorSpec),
        ("record_bytes", c_int64),
        ("named_inputs", c_int32),
    ]


class Optimizer(ctypes.Structure):
    _fields_ = [
        ("kind", c_int32),
        ("lr", c_double),
        ("weight_decay", c_double),
        ("momentum", c_double),
        ("dampening", c_double),
        ("beta1", c_double),
        ("beta2", c_double),
        ("eps", c_double),
        ("nesterov", c_int32),
        ("amsgrad", c_int32),
    ]


class Training(ctypes.Structure):
    _fields_ = [
        ("pass_size", c_int64),
        ("is_private", c_int32),
        ("release", c_int32),
        ("grid_exponent", c_int32),
        ("clipping_norm", c_double),
        ("noise_stddev", c_double),
        ("normalizer", c_double),
        ("loss_bound", c_double),
        ("optimizer", Optimizer),
    ]


class Evaluation(ctypes.Structure):
    _fields_ = [("metric", c_char_p), ("bound", c_double), ("is_private", c_int32), ("noise_stddev", c_double)]


class TensorView(ctypes.Structure):
    _fields_ = [
        ("name", c_char_p),
        ("dtype", c_int32),
        ("rank", c_int32),
        ("shape", POINTER(c_int64)),
        ("data", c_void_p),
        ("bytes", c_size_t),
    ]


class OperandKind(IntEnum):
    NONE = 1
    VALUE = 2
    TENSOR = 3
    BOOLEAN = 4
    INTEGER = 5
    REAL = 6
    TEXT = 7
    DEVICE = 8
    LIST = 9


class Operand(ctypes.Structure):
    _fields_ = [("kind", c_int32), ("integer", c_int64), ("real", c_double), ("text", c_char_p)]


class GraphStep(ctypes.Structure):
    _fields_ = [
        ("op", c_char_p),
        ("overload", c_char_p),
        ("layer", c_char_p),
        ("n_operands", c_int64),
        ("n_results", c_int64),
    ]


class GraphParameter(ctypes.Structure):
    _fields_ = [("name", c_char_p), ("tensor", c_int64), ("trainable", c_int32)]


class Graph(ctypes.Structure):
    _fields_ = [
        ("tensors", POINTER(TensorView)),
        ("n_tensors", c_int64),
        ("parameters", POINTER(GraphParameter)),
        ("n_parameters", c_int64),
        ("steps", POINTER(GraphStep)),
        ("n_steps", c_int64),
        ("operands", POINTER(Operand)),
        ("n_operands", c_int64),
        ("output", c_int64),
        ("output_name", c_char_p),
    ]


RANDOM = ctypes.CFUNCTYPE(None, c_void_p, POINTER(c_uint8), c_size_t)

_ERROR = POINTER(Error)
# name: (result, arguments); a trailing Error* is what makes a function one that can fail.
_PROTOTYPES: dict[str, tuple[object, list[object]]] = {
    "bl_abi_version": (c_int32, []),
    "bl_torch_version": (c_char_p, []),
    "bl_start": (c_int32, [c_int32, c_char_p, _ERROR]),
    "bl_quote_libtorch": (None, []),
    "bl_intake_read": (
        c_int32,
        [c_char_p, c_size_t, POINTER(Schema), POINTER(c_char_p), c_size_t, POINTER(c_void_p), _ERROR],
    ),
    "bl_intake_graph": (POINTER(Graph), [c_void_p]),
    "bl_intake_free": (None, [c_void_p]),
    "bl_program_build": (
        c_int32,
        [POINTER(Graph), POINTER(Schema), c_char_p, c_char_p, POINTER(c_char_p), c_size_t, POINTER(c_void_p), _ERROR],
    ),
    "bl_program_rehearse": (c_int32, [c_void_p, c_int64, _ERROR]),
    "bl_program_report": (c_char_p, [c_void_p]),
    "bl_program_free": (None, [c_void_p]),
    "bl_trainer_create": (c_int32, [c_void_p, POINTER(Training), POINTER(c_void_p), _ERROR]),
    "bl_trainer_free": (None, [c_void_p]),
    "bl_trainer_pass": (
        c_int32,
        [c_void_p, c_char_p, c_int64, POINTER(c_int64), POINTER(c_uint64), c_int64, POINTER(c_int32), _ERROR],
    ),
    "bl_trainer_probe": (c_int32, [c_void_p, c_char_p, c_int64, c_int64, c_uint64, POINTER(c_int32), _ERROR]),
    "bl_trainer_again": (c_int32, [c_void_p, c_char_p, c_int64, POINTER(c_int64), POINTER(c_uint64), c_int64, _ERROR]),
    "bl_trainer_step": (c_int32, [c_void_p, RANDOM, c_void_p, _ERROR]),
    "bl_trainer_loss": (c_double, [c_void_p]),
    "bl_trainer_parameter_count": (c_int64, [c_void_p]),
    "bl_trainer_parameter": (c_int32, [c_void_p, c_int64, POINTER(TensorView), _ERROR]),
    "bl_trainer_set_parameter": (c_int32, [c_void_p, c_char_p, c_int32, c_char_p, c_size_t, _ERROR]),
    "bl_evaluator_create": (c_int32, [c_void_p, POINTER(Evaluation), POINTER(c_void_p), _ERROR]),
    "bl_evaluator_free": (None, [c_void_p]),
    "bl_evaluator_parameter_count": (c_int64, [c_void_p]),
    "bl_evaluator_set_parameter": (c_int32, [c_void_p, c_char_p, c_int32, c_char_p, c_size_t, _ERROR]),
    "bl_evaluator_add": (c_int32, [c_void_p, c_char_p, c_int64, c_int64, c_uint64, _ERROR]),
    "bl_evaluator_release": (c_int32, [c_void_p, RANDOM, c_void_p, POINTER(c_int64), _ERROR]),
    "bl_trainer_state_count": (c_int32, [c_void_p, POINTER(c_int64), _ERROR]),
    "bl_trainer_state": (c_int32, [c_void_p, c_int64, POINTER(TensorView), _ERROR]),
    "bl_trainer_set_state": (c_int32, [c_void_p, POINTER(TensorView), _ERROR]),
    "bl_testing_clipped_sum": (c_int32, [c_void_p, c_int64, POINTER(c_double), c_size_t, _ERROR]),
    "bl_testing_grid_sum": (c_int32, [c_void_p, c_int64, POINTER(c_int64), c_size_t, _ERROR]),
    "bl_testing_noise": (c_int32, [c_double, POINTER(c_int64), c_size_t, RANDOM, c_void_p, _ERROR]),
    "bl_testing_rounded_normal": (c_int64, [c_uint64, c_uint64, c_double]),
    "bl_testing_normal": (c_double, [c_uint64]),
}


def open_library(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    for name, (result, arguments) in _PROTOTYPES.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library
