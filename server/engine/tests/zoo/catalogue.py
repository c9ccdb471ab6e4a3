"""The hostile zoo as one table: every attack by the row it belongs to, and what becomes of it."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from abi import Status
from zoo import adversary, cancelling, company, forbidden, hostile, layout, oversized
from zoo.attack import Attack, Ground, Row, record

Builder = Callable[[], nn.Module]

NAN, INF = math.nan, math.inf
PLAIN = Ground(
    others=[
        record([0.5, 0.2, 0.3, 0.1], [0.0, 0.1, 0.2]),
        record([-0.5, 0.2, -0.7, 1.0], [3.0, 0.0, -3.0]),
        record([2.5, 0.4, 1.0, -1.0], [1.0, 1.0, 1.0]),
        record([1.0, 1.0, 1.0, 1.0], [-0.5, 0.2, 9.0]),
    ],
    worst=[
        record([1e6, -1e6, 1e6, 1e6], [-1e6, 1e6, 1e6]),
        record([0.0, 0.0, 0.0, 0.0], [1e3, 1e3, 1e3]),
        record([NAN, 1.0, 2.0, 3.0], [0.0, 0.0, 0.0]),
        record([INF, 1.0, -INF, 3.0], [0.0, 0.0, 0.0]),
        record([1.0, 1.0, 1.0, 1.0], [NAN, 0.0, 0.0]),
        # No number of its gradient is as large as the clipping norm, and the whole is.
        record([0.5, 0.5, 0.5, 0.5], [0.9, 0.9, 0.9]),
        record([1e-30, 1e200, 1e-200, 1e300], [1e300, 0.0, 0.0]),
    ],
)
INDEXED = Ground(
    others=[
        record([0.5, 0.2, 0.3, 0.1], [0.0, 0.1, 0.2], index=[1, 2, 3]),
        record([-0.5, 0.2, -0.7, 1.0], [3.0, 0.0, -3.0], index=[0, 0, 1]),
        record([2.5, 0.4, 1.0, -1.0], [1.0, 1.0, 1.0], index=[3, 2, 1]),
        record([1.0, 1.0, 1.0, 1.0], [-0.5, 0.2, 9.0], index=[3, 3, 3]),
    ],
    worst=[
        record([1e6, 1e6, 1e6, 1e6], [-1e6, 1e6, 1e6], index=[4, 5, 9]),
        record([-1.0, 1e6, 2.0, 1.0], [1e6, 1e6, 1e6], index=[-1, -2, -5]),
        record([NAN, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0], index=[10**12, -(10**12), 2]),
        record([3.0, 2.0, 1.0, 0.5], [1e6, 1.0, 1.0], index=[1, 0, 2]),
    ],
)
# `x` [1], a label below every output: under l1 the gradient is that of the output.
SINGLE = Ground(
    others=[record([x], [-1e35]) for x in (-0.37, 0.01, 0.2, 1.0)],
    worst=[record([x], [-1e35]) for x in (1.0, 5.0, -1e4, NAN)],
)


def vectors(size: int, others: float, *worst: float) -> Ground:
    """`x` [size], all of one number. The last of the worst has no gradient of its own."""
    return Ground(
        others=[record([others + n / 8] * size, [1e3]) for n in range(4)],
        worst=[*(record([x] * size, [1e3]) for x in worst), record([worst[0]] * size, [NAN])],
    )


COMPANY = vectors(4, 1.0, 100.0, 0.0)


def attack(row: Row, model: type[nn.Module], *refused: str, ground: Ground = PLAIN, **facts: object) -> Attack:
    return Attack(model.__name__, row, model, ground, refused or None, **facts)


def named(name: str, row: Row, build: Builder, *refused: str, ground: Ground = PLAIN, **facts: object) -> Attack:
    return Attack(name, row, build, ground, refused or None, **facts)


FORBIDDEN_ROWS = {
    Row.SIDE_OUTPUT: "Save FromFile Print Seed InnerGradient InnerBackward Fork Profile",
    Row.BRANCH: "Item ToFloat ToInt ToList Nonzero Unique MaskedSelect Branch BranchOnItem While EqualToSeen",
    Row.FAILURE: "Assert Raise AssertInGraph Truncate",
    Row.STATE: "Count Remember RememberByView RememberByOut RememberByIndex Assign Collect CollectByKey WriteParameter "
    "WriteRecordToParameter WriteDetachedParameter SetData DetachInPlace RequireGrad SetStorage",
    Row.MIXING: "FillByIndex SampleGrid Resize AsStrided",
    Row.COLLUSION: "Empty EmptyLike NewEmpty EmptyStrided",
}
HOSTILE_ROWS = {
    Row.MIXING: "MeanOverBatch FirstOfBatch LastOfBatch SecondOfBatch SortOverBatch AttentionOverBatch RowsOfData IndexOfBatch "
    "Take Scatter ScatterAdd IndexAdd IndexPut PutAccumulate ViewOfStorage GridSample Fold ExpandedView Gather TakeAlongDim "
    "IndexSelect AdvancedIndex",
    Row.STATE: "WriteInput WriteExpanded WriteConstant",
    Row.BRANCH: "BinCount Repeat Narrow TensorSplit BucketizeUnsorted OneHot",
    Row.FAILURE: "Cholesky Inverse DivideIntegers ShiftIntegers",
    Row.NOT_FINITE: "ZeroTimesInfinity Huge",
    Row.UNSEEN_USE: "RowsOfScaledParameter RowsOfParameter ParameterByIndex ParameterByIndexSelect NoGrad Straight",
    Row.PASS_SHAPE: "Amplify Complex",
    Row.NORMALISER: "SumOfAll",
    Row.LOSS: "InnerLoss InnerCrossEntropy",
}


HOSTILE_REFUSED = {
    "Take": "aten::take",
    "PutAccumulate": "aten::put",
    "Cholesky": "aten::linalg_cholesky",
    "Inverse": "aten::linalg_inv",
    "DivideIntegers": "aten::floor_divide",
    "BinCount": "aten::bincount",
    "Repeat": "aten::repeat_interleave",
    "Narrow": "aten::narrow",
    "TensorSplit": "aten::tensor_split",
    "GridSample": "aten::grid_sampler",
    "ViewOfStorage": "aten::as_strided",
    "WriteInput": "aten::mul_",
    "WriteConstant": "aten::add_",
    "NoGrad": "prim::Enter",
}
# They fail where an index lies outside.
HOSTILE_FAILING = (
    "RowsOfData RowsOfScaledParameter RowsOfParameter ParameterByIndex ParameterByIndexSelect Gather IndexSelect AdvancedIndex "
    "IndexOfBatch Scatter ScatterAdd IndexAdd IndexPut OneHot InnerLoss InnerCrossEntropy"
)


def _rows(table: dict[Row, str]) -> dict[str, Row]:
    return {name: row for row, names in table.items() for name in names.split()}


def _forbidden() -> list[Attack]:
    rows = _rows(FORBIDDEN_ROWS)
    return [attack(rows[model.__name__], model, *names) for model, names in forbidden.FORBIDDEN]


def _hostile() -> list[Attack]:
    rows = _rows(HOSTILE_ROWS)
    made = []
    for model in hostile.HOSTILE:
        name = model.__name__
        refused = [HOSTILE_REFUSED[name]] if name in HOSTILE_REFUSED else []
        # A record of zeros is enough to divide by zero.
        status = Status.FORWARD_FAILED if model is hostile.DivideIntegers else Status.INCOMPATIBLE_MODEL
        made.append(attack(rows[name], model, *refused, ground=INDEXED, status=status, repeats=name in HOSTILE_FAILING.split()))
    return made


def _cancelling() -> list[Attack]:
    """1e6 is where a Gram matrix in float32 fails, 1e16 where one in float64 does."""
    return [
        named(
            f"{model.__name__} {scale:g}",
            Row.CANCELLATION,
            lambda model=model, scale=scale: model(scale),
            ground=SINGLE,
            loss="l1",
            form="trace",
            dtype=torch.float32,
        )
        for model in cancelling.CANCELLING
        for scale in (1e6, 1e16)
    ]


A = adversary
ATTACKS: list[Attack] = [
    *_forbidden(),
    *_hostile(),
    *_cancelling(),
    attack(Row.MIXING, A.Experts),
    named("BatchNorm", Row.MIXING, lambda: A.Normalised(nn.BatchNorm1d(3)), "aten::batch_norm"),
    named("functional batch norm", Row.MIXING, lambda: A.FunctionalBatchNorm(nn.Identity()), "aten::batch_norm"),
    attack(Row.MIXING, layout.Expanded, ground=vectors(4, 1.0, -100.0), dtype=torch.float32),
    attack(Row.MIXING, layout.InnermostRecords, ground=vectors(4, 1.0, -100.0), dtype=torch.float32),
    attack(Row.MIXING, layout.Windows, ground=vectors(64, 1.0, 77777.0), dtype=torch.float32),
    attack(Row.MIXING, layout.Scale, "aten::upsample_bilinear2d", ground=COMPANY),
    attack(Row.MIXING, layout.Scale1, "aten::upsample_linear1d", ground=COMPANY),
    attack(Row.MIXING, layout.Packed, "aten::rnn_tanh", ground=COMPANY),
    attack(Row.STATE, A.InstanceStatistics, "aten::instance_norm", "aten::add_"),
    attack(Row.STATE, A.WithObject, "prim::SetAttr", "torch.classes", ""),
    attack(Row.FAILURE, company.FailsOnEmptyOnceMoved, ground=COMPANY, dtype=torch.float32, repeats=True),
    attack(Row.FAILURE, company.FailsByChance, ground=COMPANY, dtype=torch.float32, repeats=True),
    attack(Row.FAILURE, hostile.TrapOnDivision, "aten::div", ground=INDEXED),
    attack(Row.FAILURE, oversized.Constant, "", status=Status.OUT_OF_MEMORY),
    attack(Row.FAILURE, oversized.Activation, "", status=Status.OUT_OF_MEMORY),
    attack(Row.TIMING, oversized.Turns, ""),
    attack(Row.TIMING, oversized.Endless, ""),
    attack(Row.TIMING, layout.Polygamma, "aten::polygamma", ground=COMPANY),
    attack(Row.NOT_FINITE, A.Plain, reaches_bound=True),
    named("one record that is no number, in float32", Row.NOT_FINITE, A.Plain, dtype=torch.float32),
    attack(Row.UNSEEN_USE, A.OutsideItsLayer, reaches_bound=True),
    attack(Row.UNSEEN_USE, A.TransposedUse, reaches_bound=True),
    attack(Row.UNSEEN_USE, A.ViewOfParameter, reaches_bound=True),
    attack(Row.UNSEEN_USE, A.ParameterAsInput, reaches_bound=True),
    attack(Row.UNSEEN_USE, A.ParameterChoosesItself, reaches_bound=True),
    attack(Row.UNSEEN_USE, A.TwoNames, reaches_bound=True),
    attack(Row.UNSEEN_USE, A.TableAndHead, ground=SINGLE, loss="l1", reaches_bound=True),
    named("Underflow", Row.CANCELLATION, lambda: cancelling.Underflow(2.7e39), ground=SINGLE, loss="l1", form="trace"),
    attack(Row.RANDOMNESS, A.ByChance, reaches_bound=True),
    attack(Row.RANDOMNESS, company.AsksHowMuchOthersDrew, ground=COMPANY, dtype=torch.float32),
    *(
        named(
            f"empty slots and {name}",
            Row.PASS_SHAPE,
            lambda p=product: company.Underflows(p),
            ground=vectors(3, 1e-25, 1.0, 0.0),
            form="trace",
        )
        for name, product in company.PRODUCTS.items()
    ),
    attack(Row.MANY_ROWS, A.ManyLookups, ground=SINGLE, loss="l1", reaches_bound=True),
    attack(Row.MANY_ROWS, A.ManyWindows, ground=SINGLE, loss="l1", reaches_bound=True),
    attack(Row.SAMPLING, A.OrderOfTheSample, reaches_bound=True),
    attack(Row.NORMALISER, A.SizeOfBatch, reaches_bound=True),
    attack(Row.ADAPTIVE, A.StopsWhenLearnt, reaches_bound=True),
    attack(Row.UNNOISED, A.ReportsItself, reaches_bound=True),
    attack(Row.WORST_USE, A.OneCoordinate, ground=SINGLE, loss="l1", reaches_bound=True, repeats=True),
    attack(Row.LOSS, A.ScaledUp, dtype=torch.float32, reaches_bound=True),
    attack(Row.LOSS, A.ScaledDown, dtype=torch.float32),
    attack(Row.LOSS, A.LossOfTheBatch, reaches_bound=True),
    attack(Row.LOSS, A.OneLossForAll, "", status=Status.LOSS_MISMATCH),
    attack(Row.OPTIMIZER_STATE, A.GradientAverage, "aten::mul_"),
    attack(Row.SELECTION, A.BestOfMany, reaches_bound=True),
]
