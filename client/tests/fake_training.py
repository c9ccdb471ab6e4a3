"""The fake server's runs: their prices, their ends, and weights that are 1 larger after each."""

from __future__ import annotations

import hashlib
import io
import math
import secrets
import time
from collections.abc import Iterator

import grpc
import safetensors.torch
import torch
from fake_datasets import budget_of
from fake_refusals import Kind, abort
from fake_service import ENDED, NANO, Service, StoredDataset, copy_of

from bastionlab.v1 import dataset_pb2, error_pb2, training_pb2, training_pb2_grpc


class Training(Service, training_pb2_grpc.TrainingServiceServicer):
    def PlanTraining(self, request: training_pb2.TrainingRequest, context: grpc.ServicerContext) -> training_pb2.Plan:
        self._s.enter(context, "PlanTraining")
        return self._price(request, context)

    def StartTraining(self, request: training_pb2.StartTrainingRequest, context: grpc.ServicerContext) -> training_pb2.Run:
        user = self._s.enter(context, "StartTraining")
        plan = self._price(request.request, context)
        run = self._start(request, plan, user)
        self._s.requests[run.id] = copy_of(request.request)
        return run

    def PlanTest(self, request: training_pb2.TestRequest, context: grpc.ServicerContext) -> training_pb2.Plan:
        self._s.enter(context, "PlanTest")
        return self._price_test(request, context)

    def StartTest(self, request: training_pb2.StartTestRequest, context: grpc.ServicerContext) -> training_pb2.Run:
        user = self._s.enter(context, "StartTest")
        run = self._start(request, self._price_test(request.request, context), user)
        self._s.tests[run.id] = copy_of(request.request)
        return run

    def _start(
        self, request: training_pb2.StartTrainingRequest | training_pb2.StartTestRequest, plan: training_pb2.Plan, user: str
    ) -> training_pb2.Run:
        assert request.charge == plan.charge, "what was shown is what is charged"
        run = training_pb2.Run(
            id=secrets.token_hex(16),
            model_id=request.request.model_id,
            dataset_id=request.request.dataset_id,
            status=training_pb2.RUN_STATUS_QUEUED,
            plan=plan,
            created_unix_ms=int(time.time() * 1000),
            name=request.name,
            description=request.description,
            scientist=user,
            mine=True,
        )
        self._s.runs[run.id] = run
        entry = dataset_pb2.BudgetEntry(
            run_id=run.id,
            epsilon_nano=plan.epsilon_nano,
            delta_atto=plan.delta_atto,
            infinite=not plan.private,
            status="running",
            created_unix_ms=run.created_unix_ms,
        )
        self._s.datasets[run.dataset_id].entries.insert(0, entry)
        self._s.ledger.reserve(self._s.datasets[run.dataset_id].message, run)
        return run

    def _tell_ledger(self, kind: str, run: training_pb2.Run, **members: str) -> None:
        self._s.ledger.of_run(kind, self._s.datasets[run.dataset_id].message, run, **members)

    def GetRun(self, request: training_pb2.GetRunRequest, context: grpc.ServicerContext) -> training_pb2.Run:
        self._s.enter(context, "GetRun")
        return self._find(context, self._s.runs, request.id, "run")

    def ListRuns(self, request: training_pb2.ListRunsRequest, context: grpc.ServicerContext) -> training_pb2.ListRunsResponse:
        self._s.enter(context, "ListRuns")
        return training_pb2.ListRunsResponse(runs=list(reversed(self._s.runs.values())))

    def WatchRun(self, request: training_pb2.WatchRunRequest, context: grpc.ServicerContext) -> Iterator[training_pb2.Run]:
        self._s.enter(context, "WatchRun")
        run = self._find(context, self._s.runs, request.id, "run")
        yield copy_of(run)
        while run.status not in ENDED:
            if run.status == training_pb2.RUN_STATUS_QUEUED:
                run.status = training_pb2.RUN_STATUS_RUNNING
                self._tell_ledger("data", run)
            elif run.status == training_pb2.RUN_STATUS_WAITING:
                time.sleep(0.01)
                if not context.is_active():
                    return
                continue
            elif self._s.interrupt_runs > 0:
                self._s.interrupt_runs -= 1
                run.status = training_pb2.RUN_STATUS_WAITING
            elif run.steps_done < run.plan.steps:
                run.steps_done = min(run.plan.steps, run.steps_done + max(1, run.plan.steps // 4))
                self._tell_losses(run)
            else:
                self._s.wait_for_release(context)
                if not context.is_active():
                    return
                if run.plan.metric:
                    run.result.CopyFrom(training_pb2.TestResult(value=0.75, standard_error=0.02))
                run.status = training_pb2.RUN_STATUS_COMPLETED
                self._s.datasets[run.dataset_id].entries[0].status = "completed"
                self._tell_ledger("settle", run, outcome="completed")
            yield copy_of(run)

    def ApproveRun(self, request: training_pb2.ApproveRunRequest, context: grpc.ServicerContext) -> training_pb2.Run:
        run = self._decidable(context, "ApproveRun", request.id)
        run.status = training_pb2.RUN_STATUS_QUEUED
        return copy_of(run)

    def DenyRun(self, request: training_pb2.DenyRunRequest, context: grpc.ServicerContext) -> training_pb2.Run:
        run = self._decidable(context, "DenyRun", request.id)
        run.failure, run.denial = "the owner of its dataset did not approve another attempt", request.reason
        run.status = training_pb2.RUN_STATUS_FAILED
        self._tell_ledger("settle", run, outcome="failed")
        return copy_of(run)

    def _decidable(self, context: grpc.ServicerContext, method: str, run_id: str) -> training_pb2.Run:
        user = self._s.enter(context, method)
        run = self._find(context, self._s.runs, run_id, "run")
        if user != self._s.datasets[run.dataset_id].message.owner:
            raise abort(context, Kind.KIND_PERMISSION_DENIED, "only the owner of its dataset decides", "ask the dataset's owner")
        if run.status != training_pb2.RUN_STATUS_WAITING:
            raise abort(context, Kind.KIND_INVALID_ARGUMENT, "the run does not wait for its dataset's owner")
        return run

    def CancelRun(self, request: training_pb2.CancelRunRequest, context: grpc.ServicerContext) -> training_pb2.Run:
        self._s.enter(context, "CancelRun")
        run = self._find(context, self._s.runs, request.id, "run")
        run.status = training_pb2.RUN_STATUS_CANCELLED
        self._tell_ledger("settle", run, outcome="cancelled")
        run.spent = "eps 1 of the dataset's limit"
        return run

    def DownloadWeights(
        self, request: training_pb2.DownloadWeightsRequest, context: grpc.ServicerContext
    ) -> Iterator[training_pb2.DownloadWeightsResponse]:
        self._s.enter(context, "DownloadWeights")
        run = self._find(context, self._s.runs, request.run_id, "run")
        weights = self._s.weights_filter(self._trained(run))
        file = safetensors.torch.save(weights)
        header = training_pb2.DownloadHeader(size_bytes=len(file), sha256=hashlib.sha256(file).digest())
        yield training_pb2.DownloadWeightsResponse(header=header)
        file = self._s.download_filter(file)
        size = max(100, len(file) // 50)
        for start in range(0, len(file), size):
            yield training_pb2.DownloadWeightsResponse(chunk=file[start : start + size])

    def _trained(self, run: training_pb2.Run) -> dict[str, torch.Tensor]:
        """The trainable parameters, each 1 larger for every run that this one goes on from, itself included."""
        runs = 1
        while before := self._s.requests[run.id].continue_run_id:
            runs, run = runs + 1, self._s.runs[before]
        module = torch.jit.load(io.BytesIO(self._s.archives[run.model_id]))
        return {name: p.detach() + runs for name, p in module.named_parameters() if p.requires_grad}

    def _tell_losses(self, run: training_pb2.Run) -> None:
        """The loss of epoch e is 1/e."""
        if not run.plan.loss_bound:
            return
        # Every epoch has as many steps.
        per_epoch = -(-run.plan.steps // max(1, math.ceil(run.plan.nb_epochs)))
        for epoch in range(len(run.history.epochs) + 1, run.steps_done // per_epoch + 1):
            run.history.epochs.add(epoch=epoch, steps=per_epoch, loss=1 / epoch, standard_error=0.05)

    def _price_test(self, request: training_pb2.TestRequest, context: grpc.ServicerContext) -> training_pb2.Plan:
        assert request.model_id in self._s.archives
        assert not request.weights_run_id or self._s.runs[request.weights_run_id].status == training_pb2.RUN_STATUS_COMPLETED
        stored = self._find(context, self._s.datasets, request.dataset_id, "dataset")
        plan = self._paid(request, stored, context)
        declared = stored.message.declared_samples
        mine = training_pb2.Plan(
            metric=request.metric,
            noise_multiplier=2.0 if plan.private else 0,
            sample_rate=1,
            steps=1,
            batch_size=declared,
            max_batch_size=1,
            release_mode="exact",
        )
        mine.MergeFrom(plan)
        if not plan.private:
            mine.warnings.append("testing without noise: nothing protects the records")
        return mine

    def _price(self, request: training_pb2.TrainingRequest, context: grpc.ServicerContext) -> training_pb2.Plan:
        assert request.model_id in self._s.archives
        assert request.WhichOneof is not None
        assert request.optimizer.WhichOneof("kind")
        stored = self._find(context, self._s.datasets, request.dataset_id, "dataset")
        declared = stored.message.declared_samples
        if request.device not in ("", "cpu", *self._s.devices):
            raise abort(context, Kind.KIND_INVALID_ARGUMENT, f"training on {request.device!r} is not offered", 'pass device="cpu"')
        device = "" if request.device == "cpu" else request.device
        batch = request.batch_size if request.HasField("batch_size") else min(declared, 10)
        plan = training_pb2.Plan(
            noise_multiplier=1.5 if request.HasField("epsilon") else 0,
            sample_rate=batch / declared,
            steps=math.ceil(request.nb_epochs * declared / batch),
            batch_size=batch,
            max_batch_size=request.max_batch_size,
            max_grad_norm=request.max_grad_norm,
            release_mode="certified",
            grid_exponent=17,
            grid_error=4e-5,
            eta=0.0157,
            seconds=0.0 if device else 2.0,
            nb_epochs=request.nb_epochs,
            loss_bound=2.0 if request.metrics else 0,
            device=device,
            warnings=[f"on {device} nothing is attested"] if device else [],
        )
        plan.MergeFrom(self._paid(request, stored, context, device))
        return plan

    def _paid(
        self,
        request: training_pb2.TrainingRequest | training_pb2.TestRequest,
        stored: StoredDataset,
        context: grpc.ServicerContext,
        device: str = "",
    ) -> training_pb2.Plan:
        """The part of a plan that is the price."""
        budget = budget_of(stored, self._s.ledger)
        wanted = round(request.epsilon * NANO)
        if budget.HasField("limit_nano") and wanted > budget.remaining_nano:
            figures = error_pb2.BudgetExceeded(
                limit_nano=budget.limit_nano,
                spent_nano=budget.spent_nano,
                requested_nano=wanted,
                remaining_nano=budget.remaining_nano,
            )
            raise abort(context, Kind.KIND_BUDGET_EXCEEDED, "the run needs more than remains", "lower eps", budget=figures)
        plan = training_pb2.Plan(
            private=request.HasField("epsilon"),
            epsilon_nano=wanted,
            delta_atto=stored.message.delta_atto // 6,
            remaining_after_nano=max(0, budget.remaining_nano - wanted),
            obtainable_nano=budget.remaining_nano + NANO // 2,
            unlimited=not budget.HasField("limit_nano"),
        )
        steps = [training_pb2.ChargedSteps(sample_rate=0.1, noise_multiplier=1.5 if plan.private else 0, count=10)]
        plan.charge = training_pb2.Charge(
            dataset_id=request.dataset_id,
            private=plan.private,
            epsilon_nano=wanted,
            delta_atto=plan.delta_atto,
            steps=steps,
            device=device,
        ).SerializeToString(deterministic=True)
        return plan
