"""The fake server's models: whatever torch can read."""

from __future__ import annotations

import hashlib
import io
import secrets
from collections.abc import Iterator

import grpc
import torch
from fake_refusals import Kind, abort, abort_with
from fake_service import Service

from bastionlab.v1 import dataset_pb2, model_pb2, model_pb2_grpc


class Models(Service, model_pb2_grpc.ModelServiceServicer):
    def UploadModel(
        self, requests: Iterator[model_pb2.UploadModelRequest], context: grpc.ServicerContext
    ) -> model_pb2.UploadModelResponse:
        self._s.enter(context, "UploadModel")
        header = next(requests).header
        stored = self._find(context, self._s.datasets, header.dataset_id, "dataset")
        received = bytearray()
        for request in requests:
            if request.WhichOneof("part") == "trailer":
                assert request.trailer.sha256 == hashlib.sha256(received).digest()
                break
            assert len(request.chunk) <= 1 << 20
            received += request.chunk
        archive = bytes(received)
        assert len(archive) == header.archive_bytes
        try:
            module = torch.jit.load(io.BytesIO(archive))
        except RuntimeError:
            raise abort(context, Kind.KIND_INVALID_ARGUMENT, "the archive cannot be read", "send a TorchScript archive") from None
        if self._s.model_refusals:
            raise abort_with(context, self._s.model_refusals.pop(0))
        model_id = secrets.token_hex(16)
        self._s.archives[model_id] = archive
        report = model_pb2.CapabilityReport(
            operators=[
                model_pb2.OperatorUse(name="aten::linear", count=1),
                model_pb2.OperatorUse(name="aten::dropout", count=3, one_record_at_a_time=2),
            ],
            parameters=[
                model_pb2.ParameterReport(
                    name=name,
                    dtype=dataset_pb2.DTYPE_F32,
                    shape=parameter.shape,
                    trainable=parameter.requires_grad,
                    measurement="linear",
                )
                for name, parameter in module.named_parameters()
            ],
            inputs=stored.message.schema.inputs,
            outputs=[dataset_pb2.TensorSpec(name="output", dtype=dataset_pb2.DTYPE_F32, shape=[1, 2])],
            program_sha256=hashlib.sha256(archive).digest(),
        )
        return model_pb2.UploadModelResponse(model_id=model_id, report=report)
