"""Scripted models that no table of operators may let through, and what names them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Base(nn.Module):
    """A layer, and a `spy`: what the hostile author adds."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.register_buffer("seen", torch.zeros(1, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.spy(self.layer(x))

    def spy(self, y: Tensor) -> Tensor:
        return y


class Save(Base):
    def spy(self, y: Tensor) -> Tensor:
        torch.save(y, "stolen")
        return y


class FromFile(Base):
    def spy(self, y: Tensor) -> Tensor:
        return y + torch.from_file("/etc/passwd", size=3)


class Print(Base):
    def spy(self, y: Tensor) -> Tensor:
        print(y)
        return y


class Seed(Base):
    def spy(self, y: Tensor) -> Tensor:
        torch.manual_seed(1)
        return y


class Item(Base):
    def spy(self, y: Tensor) -> Tensor:
        return y * y.sum().item()


class ToFloat(Base):
    def spy(self, y: Tensor) -> Tensor:
        return y * float(y.sum())


class ToInt(Base):
    def spy(self, y: Tensor) -> Tensor:
        return y[:, : int(y.sum())]


class ToList(Base):
    def spy(self, y: Tensor) -> Tensor:
        values: list[float] = y[0].tolist()
        return y * values[0]


class Nonzero(Base):
    def spy(self, y: Tensor) -> Tensor:
        return y * y.nonzero().size(0)


class Unique(Base):
    def spy(self, y: Tensor) -> Tensor:
        return y * torch.unique(y).size(0)


class MaskedSelect(Base):
    def spy(self, y: Tensor) -> Tensor:
        return y * torch.masked_select(y, y > 0).size(0)


class Branch(Base):
    def spy(self, y: Tensor) -> Tensor:
        if y.sum() > 0:
            y = y * 2
        return y


class BranchOnItem(Base):
    def spy(self, y: Tensor) -> Tensor:
        if bool((y > 0).any()):
            y = y * 2
        return y


class While(Base):
    def spy(self, y: Tensor) -> Tensor:
        while bool((y * y).sum() > 1):
            y = y / 2
        return y


class Assert(Base):
    def spy(self, y: Tensor) -> Tensor:
        assert y.sum() < 100, "the record is large"
        return y


class Raise(Base):
    def spy(self, y: Tensor) -> Tensor:
        if y.sum() > 100:
            raise ValueError("the record is large")
        return y


class AssertInGraph(Base):
    def spy(self, y: Tensor) -> Tensor:
        return y + torch.ops.aten._functional_assert_async(y.sum() < 100, "the record is large", y)


class EqualToSeen(Base):
    def spy(self, y: Tensor) -> Tensor:
        return y * 2 if torch.equal(y, self.seen) else y


class Count(Base):
    def spy(self, y: Tensor) -> Tensor:
        self.seen.add_(1.0)
        return y


class Remember(Base):
    def spy(self, y: Tensor) -> Tensor:
        self.seen.copy_(y.detach())
        return y + self.seen


class RememberByView(Base):
    def spy(self, y: Tensor) -> Tensor:
        self.seen.view(-1)[0:3].copy_(y[0].detach())
        return y


class RememberByOut(Base):
    def spy(self, y: Tensor) -> Tensor:
        torch.add(y.detach(), 1.0, out=self.seen)
        return y


class RememberByIndex(Base):
    def spy(self, y: Tensor) -> Tensor:
        self.seen[0, 0] = 1.0
        return y


class Assign(Base):
    def spy(self, y: Tensor) -> Tensor:
        self.seen = y.detach()
        return y


class Collect(Base):
    def __init__(self) -> None:
        super().__init__()
        self.list: list[Tensor] = [torch.zeros(1, 3)]

    def spy(self, y: Tensor) -> Tensor:
        y = y + self.list[-1]
        self.list.append(y.detach())
        return y


class CollectByKey(Base):
    def __init__(self) -> None:
        super().__init__()
        self.table: dict[str, Tensor] = {"last": torch.zeros(1, 3)}

    def spy(self, y: Tensor) -> Tensor:
        y = y + self.table["last"]
        self.table["last"] = y.detach()
        return y


class WriteParameter(Base):
    def spy(self, y: Tensor) -> Tensor:
        with torch.no_grad():
            self.layer.bias.add_(1.0)
        return y


class WriteRecordToParameter(Base):
    def spy(self, y: Tensor) -> Tensor:
        with torch.no_grad():
            self.layer.bias.copy_(y[0])
        return y


class WriteDetachedParameter(Base):
    def spy(self, y: Tensor) -> Tensor:
        self.layer.bias.detach().copy_(y.detach()[0])
        return y


class SetData(Base):
    def spy(self, y: Tensor) -> Tensor:
        torch.ops.aten.set_data(self.layer.bias, y[0])
        return y


class DetachInPlace(Base):
    def spy(self, y: Tensor) -> Tensor:
        self.layer.weight.detach_()
        return y


class RequireGrad(Base):
    def spy(self, y: Tensor) -> Tensor:
        self.seen.requires_grad_(True)
        return y + self.seen


class InnerGradient(Base):
    def spy(self, y: Tensor) -> Tensor:
        gradient = torch.autograd.grad([y.sum()], [self.layer.bias])[0]
        assert gradient is not None
        return y + gradient


class InnerBackward(Base):
    def spy(self, y: Tensor) -> Tensor:
        y.sum().backward()
        return y.detach()


class Fork(Base):
    def spy(self, y: Tensor) -> Tensor:
        return torch.jit.wait(torch.jit.fork(torch.relu, y))


class Truncate(Base):
    """The least integer by -1 traps: the process would die of a record that holds them."""

    def spy(self, y: Tensor) -> Tensor:
        return y + torch.div(y.long(), (y * 2).long(), rounding_mode="trunc")


class FillByIndex(Base):
    """Beyond the record's own bounds this fills the next record's."""

    def spy(self, y: Tensor) -> Tensor:
        return y.index_fill(1, y.long().view(-1), 5.0)


class SampleGrid(Base):
    """A place that is not finite is read from, and in the gradient written to, without a check."""

    def spy(self, y: Tensor) -> Tensor:
        grid = y[:, :2].view(1, 1, 1, 2)
        return y + torch.nn.functional.grid_sample(y.view(1, 1, 1, 3), grid, padding_mode="border", align_corners=False).view(1, 1)


class Empty(Base):
    """Memory that was not written is what another record left there."""

    def spy(self, y: Tensor) -> Tensor:
        return y + torch.empty(1, 3)


class EmptyLike(Base):
    def spy(self, y: Tensor) -> Tensor:
        return y + torch.empty_like(y)


class NewEmpty(Base):
    def spy(self, y: Tensor) -> Tensor:
        return y + y.new_empty([1, 3])


class EmptyStrided(Base):
    def spy(self, y: Tensor) -> Tensor:
        return y + torch.empty_strided([1, 3], [3, 1])


class Resize(Base):
    def spy(self, y: Tensor) -> Tensor:
        return y.detach().clone().resize_([1, 30])[:, :3] + y


class AsStrided(Base):
    """A view over the storage that all records of a pass share."""

    def spy(self, y: Tensor) -> Tensor:
        return y + torch.as_strided(y, [1, 3], [3, 1], 3)


class SetStorage(Base):
    def spy(self, y: Tensor) -> Tensor:
        return y + torch.ops.aten.set_(self.seen.clone(), y)


class Profile(Base):
    def spy(self, y: Tensor) -> Tensor:
        with torch.autograd.profiler.record_function("seen"):
            return y * 2


# What a refusal may name: control flow shows as the branch or as the tensor that becomes a number.
BRANCH = ("aten::Bool", "prim::If", "prim::Loop", "prim::RaiseException")
# A with statement is an object with methods, whatever stands in its body.
CONTEXT = (
    "torch.classes",
    "prim::CreateObject",
    "prim::SetAttr",
    "prim::Enter",
    "prim::Exit",
    "aten::is_grad_enabled",
    "aten::set_grad_enabled",
)

FORBIDDEN: list[tuple[type[Base], tuple[str, ...]]] = [
    (Save, ("aten::save",)),
    (FromFile, ("aten::from_file",)),
    (Print, ("prim::Print",)),
    (Seed, ("aten::manual_seed",)),
    (Item, ("aten::item",)),
    (ToFloat, ("aten::Float", "aten::FloatImplicit")),
    (ToInt, ("aten::Int", "aten::IntImplicit")),
    (ToList, ("prim::tolist",)),
    (Nonzero, ("aten::nonzero",)),
    (Unique, ("aten::_unique2", "aten::unique_dim", "aten::unique")),
    (MaskedSelect, ("aten::masked_select",)),
    (Branch, BRANCH),
    (BranchOnItem, BRANCH),
    (While, BRANCH),
    (Assert, BRANCH),
    (Raise, BRANCH),
    (AssertInGraph, ("aten::_functional_assert_async",)),
    (EqualToSeen, ("aten::equal", *BRANCH)),
    (Count, ("aten::add_",)),
    (Remember, ("aten::copy_",)),
    (RememberByView, ("aten::copy_",)),
    (RememberByOut, ("aten::add",)),
    (RememberByIndex, ("aten::copy_", "aten::fill_", "aten::index_put_")),
    (Assign, ("prim::SetAttr",)),
    (Collect, ("aten::append",)),
    (CollectByKey, ("aten::_set_item",)),
    (WriteParameter, ("aten::add_", *CONTEXT)),
    (WriteRecordToParameter, ("aten::copy_", *CONTEXT)),
    (WriteDetachedParameter, ("aten::copy_",)),
    (SetData, ("aten::set_data",)),
    (DetachInPlace, ("aten::detach_",)),
    (RequireGrad, ("aten::requires_grad_",)),
    (InnerGradient, ("aten::grad",)),
    (InnerBackward, ("aten::backward",)),
    (Fork, ("prim::fork", "aten::wait")),
    (Truncate, ("aten::div",)),
    (FillByIndex, ("aten::index_fill",)),
    (SampleGrid, ("aten::grid_sampler",)),
    (Empty, ("aten::empty",)),
    (EmptyLike, ("aten::empty_like",)),
    (NewEmpty, ("aten::new_empty",)),
    (EmptyStrided, ("aten::empty_strided",)),
    (Resize, ("aten::resize_",)),
    (AsStrided, ("aten::as_strided",)),
    (SetStorage, ("aten::set_",)),
    (Profile, CONTEXT),
]
