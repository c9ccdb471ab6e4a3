"""From the scientist's module to a model on the server: scripted where that works, else traced where the trace is the same."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from bastionlab import errors
from bastionlab._notices import notice
from bastionlab._session import Session
from bastionlab.torch._archive import ModelUpload
from bastionlab.torch._calling import NotScriptable
from bastionlab.torch._dataset import RemoteDataset
from bastionlab.torch._report import CapabilityReport
from bastionlab.torch._torchscript import Conversion, Converter, no_torchscript, save


@dataclass(frozen=True)
class Sending:
    """All that decides what a model becomes."""

    session: Session
    dataset: RemoteDataset
    loss: str
    name: str
    description: str
    progress: bool

    def send(self, model: torch.nn.Module) -> CapabilityReport:
        converter = Converter(model, self.dataset.schema, self.dataset.public)
        self._require_classes(converter.output_shape)
        refusal: errors.IncompatibleModel | None = None
        try:
            return self._upload(converter.script())
        except NotScriptable as error:
            if isinstance(model, torch.jit.ScriptModule):
                raise no_torchscript(error) from None
            why = f"TorchScript does not take it: {error}"
        except errors.IncompatibleModel as error:
            if isinstance(model, torch.jit.ScriptModule):
                raise
            refusal, why = error, f"its scripted form was refused: {error.what}"
        traced = converter.trace()
        # A trace forgets branches. Where none goes by values, it is the same model in simpler terms; any other would be a
        # different model, and the refusal stands.
        if refusal is not None and (traced.decides or traced.by_chance or not traced.agrees):
            raise refusal
        _require_same_model(traced, why)
        text = f"the model was traced on inputs made from the dataset's schema ({why})"
        if traced.frozen:
            text += "; IT DECIDES BY VALUES, and goes the way that it took on those inputs whatever the records are"
        notice(text)
        try:
            return self._upload(traced)
        except NotScriptable as error:
            raise no_torchscript(error) from None

    def _upload(self, conversion: Conversion) -> CapabilityReport:
        upload = ModelUpload(self.name, self.description, self.dataset.identifier, self.loss)
        # By way of a file: weights are large, and one more copy of them in memory is one too many.
        with tempfile.TemporaryDirectory(prefix="bastionlab-") as directory:
            archive = Path(directory) / "model.pt"
            save(conversion.module, archive)
            return CapabilityReport.from_message(upload.send(self.session, archive, self.progress))

    def _require_classes(self, output: torch.Size) -> None:
        """A label beyond the model's classes would count as zero, without a word: whatever shows it shows a record."""
        published = self.dataset.public.classes
        if self.loss == "cross_entropy" and len(output) > 1 and output[-1] < published:
            raise errors.IncompatibleModel(
                "",
                "",
                f"the model tells {output[-1]} classes apart, the dataset's owner published {published}",
                next=f"give its last layer {published} outputs",
            )


def _require_same_model(traced: Conversion, why: str) -> None:
    if traced.by_chance:
        raise errors.IncompatibleModel(
            "",
            "",
            f"the model decides by chance outside of tensors, and its trace would take one draw for ever ({why})",
            next="multiply by a random tensor instead of branching on torch.rand(...).item(), random or numpy",
        )
    if not traced.agrees:
        raise errors.IncompatibleModel(
            "",
            "",
            f"the model's trace computes something else than the model does on other inputs: it decides by values ({why})",
            next="choose by torch.where or a mask instead of if and .item(), or let forward be what TorchScript compiles",
        )
