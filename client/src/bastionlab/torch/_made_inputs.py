"""Inputs made from a schema and from what its owner published: what a model is traced on. No record is ever involved."""

from __future__ import annotations

import torch

from bastionlab.torch._public import PublicFacts
from bastionlab.torch._schema import Schema, TensorSpec


def made_inputs(schema: Schema, public: PublicFacts, parameters: list[str], variant: int) -> tuple[torch.Tensor, ...]:
    """One record as a batch of one, ``[1, ...]``; variants differ in every input that can differ.

    :param parameters: the names under which ``forward`` takes the inputs, in the schema's order: an attention mask is known by it
    """
    generator = torch.Generator().manual_seed(variant)
    return tuple(
        _made(spec, public.ranges.get(spec.name), _is_mask(parameter), variant, generator)
        for spec, parameter in zip(schema.inputs, parameters, strict=True)
    )


def inputs_at_the_top(schema: Schema, public: PublicFacts, parameters: list[str]) -> tuple[torch.Tensor, ...] | None:
    """One record whose integers are the highest that the owner published; None where nothing was published of integers."""
    published = [spec.name in public.ranges and not spec.dtype.is_floating_point for spec in schema.inputs]
    if not any(published):
        return None
    return tuple(
        torch.full_like(values, _highest(spec, public.ranges[spec.name][1])) if is_published else values
        for values, spec, is_published in zip(made_inputs(schema, public, parameters, 0), schema.inputs, published, strict=True)
    )


def _highest(spec: TensorSpec, high: float) -> int:
    """In integers: float32 would lose what is above 2**24."""
    if spec.dtype == torch.bool:
        return int(high >= 1)
    limits = torch.iinfo(spec.dtype)
    return limits.max if high >= limits.max else limits.min if high <= limits.min else int(high)


def _made(
    spec: TensorSpec, limits: tuple[float, float] | None, is_mask: bool, variant: int, generator: torch.Generator
) -> torch.Tensor:
    shape = (1, *spec.shape)
    if is_mask:
        values = torch.ones(shape) if variant == 0 else _ones_then_zeros(shape)
    elif spec.dtype.is_floating_point:
        values = torch.randn(shape, generator=generator)
        if limits is not None:
            low, high = limits
            values = low + (high - low) * torch.rand(shape, generator=generator).double()
    else:
        # Small numbers are indices that every table has, and truth values.
        values = torch.zeros(shape) if variant == 0 else torch.randint(0, 2, shape, generator=generator).float()
    if limits is not None:
        low, high = limits
        # In float64, which holds every bound that can be published.
        values = (values.double() + (0 if low <= 0 <= high or spec.dtype.is_floating_point else low)).clamp(low, high)
    return values.to(spec.dtype)


def _ones_then_zeros(shape: tuple[int, ...]) -> torch.Tensor:
    """A mask that covers the first half of the last dimension, at least one position."""
    mask = torch.zeros(shape)
    mask[..., : max(1, shape[-1] // 2)] = 1
    return mask


def _is_mask(parameter: str) -> bool:
    """Whether ones mean "look at this"; in a padding mask they mean the opposite."""
    return "mask" in parameter.lower() and "padding" not in parameter.lower()
