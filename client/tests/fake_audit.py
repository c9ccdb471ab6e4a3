"""The fake server's audit log: what tests put there, in pages."""

from __future__ import annotations

import grpc
from fake_service import Service

from bastionlab.v1 import audit_pb2, audit_pb2_grpc

PAGE = 3


class Audit(Service, audit_pb2_grpc.AuditServiceServicer):
    def ListAudit(self, request: audit_pb2.ListAuditRequest, context: grpc.ServicerContext) -> audit_pb2.ListAuditResponse:
        self._s.enter(context, "ListAudit")
        found = [entry for entry in self._s.audit if entry.seq > request.after_seq and request.dataset_id in ("", entry.dataset_id)]
        return audit_pb2.ListAuditResponse(entries=found[:PAGE], more=len(found) > PAGE)
