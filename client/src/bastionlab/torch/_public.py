"""What an owner publishes about the data on purpose: the number of classes, ranges of values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from bastionlab import errors
from bastionlab._numbers import as_integer
from bastionlab.torch._schema import Schema
from bastionlab.v1 import dataset_pb2

_FORM = 'for example public={"classes": 2, "ranges": {"input_ids": (0, 30521)}}'
# What cross-entropy leaves out (padding of labels per token); no class of its own.
IGNORED_LABEL = -100


@dataclass(frozen=True)
class PublicFacts:
    """Nothing here is ever computed from records."""

    classes: int = 0
    """0 where the owner did not say."""
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Of inputs, by name: lowest and highest value."""

    @classmethod
    def of(cls, given: Mapping[str, Any] | PublicFacts | None, schema: Schema) -> PublicFacts:
        """Reads what was given to RemoteDataset."""
        if given is None:
            return cls()
        if isinstance(given, PublicFacts):
            given = {"classes": given.classes, "ranges": given.ranges}
        if not isinstance(given, Mapping) or not given.keys() <= {"classes", "ranges"}:
            raise errors.InvalidArgument("public holds something else than classes and ranges", next=_FORM)
        classes = as_integer(given.get("classes", 0))
        if classes is None or classes < 0:
            raise errors.InvalidArgument(f"public: classes is {given['classes']!r}", next=_FORM)
        ranges = {name: _range(name, pair) for name, pair in dict(given.get("ranges") or {}).items()}
        unknown = sorted(ranges.keys() - {spec.name for spec in (*schema.inputs, schema.label)})
        if unknown:
            raise errors.InvalidArgument(f"public: the dataset has no {unknown[0]!r}", next=f"it holds {schema}")
        return cls(classes, ranges)

    def to_message(self) -> dataset_pb2.PublicFacts:
        ranges = [dataset_pb2.PublicRange(tensor=name, low=low, high=high) for name, (low, high) in self.ranges.items()]
        return dataset_pb2.PublicFacts(classes=self.classes, ranges=ranges)

    @classmethod
    def from_message(cls, message: dataset_pb2.PublicFacts) -> PublicFacts:
        return cls(message.classes, {each.tensor: (each.low, each.high) for each in message.ranges})

    def check(self, name: str, values: torch.Tensor, first_index: int) -> None:
        """Refuses records that are not as published, on the owner's own machine, before they leave it."""
        if name in self.ranges:
            low, high = self.ranges[name]
            self._refuse(name, (values < low) | (values > high), first_index, f"the published range from {low:g} to {high:g}")
        if name == "label" and self.classes and not values.is_floating_point():
            outside = ((values < 0) | (values >= self.classes)) & (values != IGNORED_LABEL)
            self._refuse(name, outside, first_index, f"the {self.classes} published classes, numbered from 0")

    @staticmethod
    def _refuse(name: str, outside: torch.Tensor, first_index: int, what: str) -> None:
        bad = outside.flatten(1).any(1) if outside.dim() > 1 else outside
        if bool(bad.any()):
            index = first_index + int(bad.nonzero()[0])
            # PRIVACY: which item, never its value; an error may end in a shared notebook.
            raise errors.InvalidArgument(f"item {index}: {name} is outside of {what}", next="mend the item, or what is published")


def _range(name: str, pair: Any) -> tuple[float, float]:
    try:
        low, high = (float(value) for value in pair)
    except (TypeError, ValueError):
        raise errors.InvalidArgument(f"public: the range of {name!r} is no pair of numbers", next=_FORM) from None
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise errors.InvalidArgument(f"public: the range of {name!r} goes from {low:g} to {high:g}", next=_FORM)
    return low, high
