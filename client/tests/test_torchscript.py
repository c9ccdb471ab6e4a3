"""Modules become TorchScript under their own names, in training mode, untouched themselves, and without any record."""

from __future__ import annotations

import copy
import random
import sys
import threading
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models as models
import torch
from torch import nn

from bastionlab import errors
from bastionlab.torch import PublicFacts, Schema, TensorSpec
from bastionlab.torch._calling import NotScriptable
from bastionlab.torch._made_inputs import inputs_at_the_top, made_inputs
from bastionlab.torch._torchscript import Conversion, Converter, save

LABEL = TensorSpec("label", torch.int64, ())
NUMBERS = Schema((TensorSpec("input_0", torch.float32, (8,)),), LABEL, named=False)
TOKENS = tuple(TensorSpec(name, torch.int64, (8,)) for name in ("input_ids", "attention_mask"))
TEXT_BY_NAME = Schema(TOKENS, LABEL, named=True)
TEXT = Schema(tuple(TensorSpec(f"input_{i}", torch.int64, (8,)) for i in range(2)), LABEL, named=False)
IDS = Schema((TensorSpec("input_0", torch.int64, (8,)),), LABEL, named=False)
NOTHING = PublicFacts()


def convert(model: nn.Module, schema: Schema, public: PublicFacts = NOTHING) -> Conversion:
    converter = Converter(model, schema, public)
    try:
        return converter.script()
    except NotScriptable:
        return converter.trace()


def loaded(conversion: Conversion, tmp_path: Path) -> Any:
    """As the server gets it."""
    save(conversion.module, tmp_path / "model.pt")
    return torch.jit.load(tmp_path / "model.pt")


def compute(module: Any, *inputs: torch.Tensor) -> torch.Tensor:
    torch.manual_seed(7)
    with torch.no_grad(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
        return module(*inputs)  # type: ignore[no-any-return]


ALL: dict[str, tuple[type[nn.Module], Schema, bool]] = {
    "encoder by name": (models.Encoder, TEXT_BY_NAME, False),
    "encoder by position": (models.Encoder, TEXT, False),
    "encoder of ids alone": (models.Encoder, IDS, False),
    "forgetful": (models.Forgetful, TEXT_BY_NAME, False),
    "branching": (models.Branching, NUMBERS, True),
    "by shape": (models.ByShape, NUMBERS, True),
    "named tuple": (models.Named, NUMBERS, True),
    "tuple": (models.Tupled, NUMBERS, True),
    "dict": (models.Mapped, NUMBERS, False),
    "dataclass": (models.InDataclass, NUMBERS, False),
    "tied": (models.Tied, IDS, True),
}


@pytest.mark.parametrize("case", ALL)
def test_it_computes_what_the_module_computes(case: str, tmp_path: Path) -> None:
    make, schema, scripts = ALL[case]
    model = make().train()
    if scripts:
        Converter(model, schema, NOTHING).script()
    else:
        with pytest.raises(NotScriptable):
            Converter(model, schema, NOTHING).script()
    archive = loaded(convert(model, schema), tmp_path)
    generator = torch.Generator().manual_seed(3)
    for _ in range(4):
        inputs = [
            torch.randint(0, 2, (1, *spec.shape), generator=generator)
            if spec.dtype == torch.int64
            else torch.randn(1, *spec.shape, generator=generator)
            for spec in schema.inputs
        ]
        output = compute(model, *inputs)
        expected = output if isinstance(output, torch.Tensor) else getattr(output, "logits", None)
        if expected is None:
            expected = output["logits"] if isinstance(output, dict) else output.inner[0] if hasattr(output, "inner") else output[0]
        assert torch.allclose(compute(archive, *inputs), expected, atol=1e-6)


@pytest.mark.parametrize("case", ALL)
def test_names_and_requires_grad_are_the_authors(case: str, tmp_path: Path) -> None:
    make, schema, _ = ALL[case]
    model = make()
    frozen = next(iter(dict(model.named_parameters())))
    model.get_parameter(frozen).requires_grad_(False)
    archive = loaded(convert(model, schema), tmp_path)
    expected = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    assert {name: parameter.requires_grad for name, parameter in archive.named_parameters()} == expected


@pytest.mark.parametrize("case", ALL)
def test_the_module_is_not_touched(case: str) -> None:
    make, schema, _ = ALL[case]
    model = make().eval()
    model.requires_grad_(True)
    kind, state = type(model), copy.deepcopy(model.state_dict())
    before = torch.random.get_rng_state()
    convert(model, schema)
    assert torch.equal(torch.random.get_rng_state(), before), "no draw is taken from the user's generator"
    assert type(model) is kind
    assert not any(module.training for module in model.modules())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_forward_has_the_names_of_the_inputs(tmp_path: Path) -> None:
    for schema in (TEXT, TEXT_BY_NAME):
        archive = loaded(convert(models.Encoder(), schema), tmp_path)
        assert [a.name for a in archive._c._get_method("forward").schema.arguments][1:] == ["input_ids", "attention_mask"]


def test_inputs_go_by_name_where_they_have_names(tmp_path: Path) -> None:
    model = models.Pair()
    right_first = Schema(tuple(TensorSpec(name, torch.float32, (4,)) for name in ("right", "left")), LABEL, named=True)
    archive = loaded(convert(model, right_first), tmp_path)
    left, right = torch.randn(1, 4), torch.randn(1, 4)
    assert torch.allclose(compute(archive, right, left), compute(model, left, right))
    assert [a.name for a in archive._c._get_method("forward").schema.arguments][1:] == ["right", "left"]


def test_dropout_is_on(tmp_path: Path) -> None:
    for schema in (TEXT_BY_NAME, IDS):
        archive = loaded(convert(models.Encoder().eval(), schema), tmp_path)
        inputs = [torch.ones(1, 8, dtype=torch.int64)] * len(schema.inputs)
        # Of two draws each fifth pair is the same: one element in ten is dropped, and only the first row is looked at.
        torch.manual_seed(7)
        assert len({archive(*inputs).detach().numpy().tobytes() for _ in range(50)}) > 10
    scripted = loaded(convert(nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5)).eval(), NUMBERS), tmp_path)
    assert scripted.training


def test_a_layer_frozen_in_training_mode_stays_frozen(tmp_path: Path) -> None:
    model = models.Normalised().train()
    model.norm.eval()
    archive = loaded(convert(model, NUMBERS), tmp_path)
    assert not archive.norm.training
    assert archive.conv.training
    x = torch.randn(1, 8)
    assert torch.allclose(compute(archive, x), compute(model, x))


def test_batch_norm_in_training_mode_is_refused_by_name() -> None:
    for model in (models.Normalised(), models.Normalised().eval(), nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4))):
        with pytest.raises(errors.IncompatibleModel) as refused:
            Converter(model, NUMBERS, NOTHING)
        assert refused.value.operator == "aten::batch_norm"
        assert refused.value.layer in ("norm", "1")
        assert "eval()" in refused.value.next


def test_a_trace_that_would_lose_the_mask_is_made_again(tmp_path: Path) -> None:
    conversion = convert(models.Forgetful(), TEXT_BY_NAME)
    assert conversion.agrees
    assert conversion.decides


class Unreliable(models.Encoder):
    def forward(self, input_ids: Any, attention_mask: Any, **kwargs: object) -> Any:  # type: ignore[override]
        x = super().forward(input_ids, attention_mask).logits
        return x if int(input_ids.sum()) % 2 else 2 * x


def test_a_trace_that_computes_something_else_is_known() -> None:
    ids_and_mask = Converter(Unreliable(), TEXT_BY_NAME, PublicFacts(0, {"input_ids": (0, 1)}))
    variants = ids_and_mask._variants
    if int(variants[0][0].sum()) % 2 == int(variants[1][0].sum()) % 2:
        variants[1][0][0, 0] ^= 1
    conversion = ids_and_mask.trace()
    assert not conversion.agrees
    assert conversion.decides


@pytest.mark.parametrize("make", [models.Chancy, models.ChancyByPython, models.ChancyByNumPy])
@pytest.mark.parametrize("chance", [0.5, 0.2, 0.8])
def test_decisions_by_chance_are_known(make: type[models.Chancy], chance: float) -> None:
    python, legacy = random.getstate(), repr(np.random.get_state())
    assert convert(make(chance), NUMBERS).by_chance
    assert random.getstate() == python, "no draw is taken from the user's generators"
    assert repr(np.random.get_state()) == legacy


def test_chance_that_always_says_the_same_decides_nothing() -> None:
    conversion = convert(models.NeverDropped(), NUMBERS)
    assert (conversion.by_chance, conversion.agrees, conversion.frozen) == (False, True, True)
    for make, schema in ((models.Encoder, TEXT_BY_NAME), (models.ByShape, NUMBERS), (models.InDataclass, NUMBERS)):
        plain = Converter(make(), schema, NOTHING).trace()
        assert (plain.by_chance, plain.frozen, plain.agrees) == (False, False, True), "neither dropout nor a shape is a decision"


class Signed(models.Encoder):
    def forward(self, x: Any, **kwargs: object) -> Any:  # type: ignore[override]
        return self.classifier(x) if bool(x.sum() > 0) else -self.classifier(x)


def test_a_decision_that_the_first_inputs_do_not_show_is_found_on_more() -> None:
    for seed in range(3):
        converter = Converter(Signed(), NUMBERS, NOTHING)
        first = torch.randn(1, 8, generator=torch.Generator().manual_seed(seed)).abs()
        converter._variants = [(first,), (first + 1,)]
        assert not converter.trace().agrees


class UntracedReader(models.Named):
    """As Hugging Face's attention masks: it reads values, but none while it is traced."""

    def forward(self, x: torch.Tensor, **kwargs: object) -> torch.Tensor:  # type: ignore[override]
        if not torch._C._is_tracing() and bool((x > 1e9).all()):
            x = -x
        y: torch.Tensor = self.head(x)
        return y


def test_what_is_not_read_while_tracing_is_not_frozen() -> None:
    conversion = convert(UntracedReader(), NUMBERS)
    assert (conversion.decides, conversion.frozen, conversion.agrees) == (True, False, True)


SEQUENCE = Schema((TensorSpec("x", torch.float32, (4, 8)),), LABEL, named=False)
DECISIONS: dict[str, tuple[Any, Schema, bool]] = {
    "by value": (models.Branching, NUMBERS, True),
    "by shape": (models.ByShape, NUMBERS, False),
    "none": (models.Encoder, TEXT_BY_NAME, False),
    "none, in torch's own layers": (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), SEQUENCE, False),
}


@pytest.mark.parametrize("case", DECISIONS)
def test_decisions_by_value_are_told_from_those_by_shape(case: str) -> None:
    make, schema, decides = DECISIONS[case]
    conversion = Converter(make(), schema, NOTHING).trace()
    assert conversion.decides == decides
    assert conversion.agrees or decides


def ids_to(high: float) -> PublicFacts:
    return PublicFacts(0, {"input_0": (0, high)})


def test_published_ranges_are_tried_at_their_top() -> None:
    table = nn.Sequential(nn.Embedding(100, 4), nn.Flatten(), nn.Linear(32, 2))
    Converter(table, IDS, NOTHING)
    Converter(table, IDS, ids_to(99))
    for high in (100, 999, 2.0**24 + 1, 1e300):
        with pytest.raises(errors.IncompatibleModel, match=r"highest values that the owner published.*IndexError") as refused:
            Converter(table, IDS, ids_to(high))
        assert "one row more" in refused.value.next
        assert refused.value.charged == "nothing"


def test_the_top_of_a_range_is_exact() -> None:
    for high, dtype, expected in (
        (2**24 + 1, torch.int64, 2**24 + 1),
        (1e300, torch.int64, 2**63 - 1),
        (-1e300, torch.int8, -128),
        (300, torch.uint8, 255),
        (1, torch.bool, 1),
    ):
        schema = Schema((TensorSpec("x", dtype, (3,)), TensorSpec("y", torch.float32, ())), LABEL, named=False)
        made = inputs_at_the_top(schema, PublicFacts(0, {"x": (-(2.0**1000), high), "y": (0, 1)}), ["x", "y"])
        assert made is not None
        assert (made[0].tolist(), made[0].dtype) == ([[expected] * 3], dtype)
    assert inputs_at_the_top(schema, PublicFacts(0, {"y": (0, 1)}), ["x", "y"]) is None


@pytest.mark.parametrize("named", [True, False])
def test_what_compiles_and_cannot_be_saved_is_traced(named: bool, tmp_path: Path) -> None:
    for names in (["x"], ["x", "mask"]):
        schema = Schema(tuple(TensorSpec(name, torch.float32, (8,)) for name in names), LABEL, named)
        converter = Converter(models.Optional(), schema, NOTHING)
        if len(names) == 2:
            scripted = converter.script()
            with pytest.raises(NotScriptable, match="undefined Tensor"):
                save(scripted.module, tmp_path / "model.pt")
        archive = loaded(converter.trace(), tmp_path)
        x = [torch.randn(1, 8) for _ in names]
        assert torch.allclose(compute(archive, *x), compute(converter._model, *x))


def lazy() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 4), nn.LazyLinear(2))


def compiled() -> Any:
    return torch.compile(nn.Linear(8, 2))


def many_norms() -> nn.Module:
    return nn.Sequential(nn.Unflatten(1, (1, 8)), *(nn.BatchNorm1d(1) for _ in range(5)), nn.Flatten(), nn.Linear(8, 2))


FORMS: dict[str, tuple[Any, str, str]] = {
    "lazy": (lazy, "^1.weight has no shape yet", "call the model once on an example first"),
    "parallel": (lambda: nn.DataParallel(nn.Linear(8, 2)), "wrapped by DataParallel", "give model.module"),
    "compiled": (compiled, r"wrapped by torch\.compile", "give model._orig_mod"),
    "a compiled layer": (lambda: nn.Sequential(compiled()), r"model\.0 is wrapped", "put model.0._orig_mod in"),
    "batch norms": (many_norms, "aten::batch_norm in 1, 2, 3 and 2 more", "for layer in model.modules():\n"),
    "batch norms, eval": (lambda: many_norms().eval(), "aten::batch_norm in 1, 2, 3 and 2 more", "layer.eval()"),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_that_are_refused_say_what_to_give(form: str) -> None:
    make, words, way_out = FORMS[form]
    with pytest.raises(errors.IncompatibleModel, match=words) as refused:
        Converter(make(), NUMBERS, NOTHING)
    assert way_out in refused.value.next
    assert refused.value.charged == "nothing"


def test_the_way_out_of_batch_norm_is_one() -> None:
    model = many_norms().eval()
    with pytest.raises(errors.IncompatibleModel) as refused:
        Converter(model, NUMBERS, NOTHING)
    model.train()
    exec(refused.value.next.split(":\n", 1)[1], {"model": model, "torch": torch})
    assert Converter(model, NUMBERS, NOTHING).script().agrees


def test_a_lazy_module_that_was_called_is_like_any_other() -> None:
    model = lazy()
    model(torch.zeros(1, 8))
    Converter(model, NUMBERS, NOTHING).script()


BYTES = Schema((TensorSpec("x", torch.uint8, (3, 4, 4)),), LABEL, named=False)
DOUBLES = Schema((TensorSpec("x", torch.float64, (8,)),), LABEL, named=False)


@pytest.mark.parametrize(
    ("model", "schema"),
    [
        (nn.Linear(8, 2), DOUBLES),
        (nn.Linear(8, 2).half(), NUMBERS),
        (nn.Linear(8, 2), IDS),
        (nn.Conv2d(3, 2, 3), BYTES),
        (nn.Embedding(8, 2), NUMBERS),
    ],
)
def test_dtypes_that_do_not_fit_are_converted_in_forward(model: nn.Module, schema: Schema) -> None:
    with pytest.raises(errors.IncompatibleModel, match="forward failed") as refused:
        Converter(model, schema, NOTHING)
    assert "convert in forward, for example x.float()" in refused.value.next


MISFITS: dict[str, tuple[Any, Schema, type[errors.BastionLabError], str]] = {
    "too few inputs": (models.Pair, NUMBERS, errors.InvalidArgument, "missing a required argument: 'right'"),
    "too many inputs": (models.Named, TEXT, errors.InvalidArgument, "too many positional arguments"),
    "other names": (models.Pair, TEXT_BY_NAME, errors.InvalidArgument, "by these names"),
    "another width": (lambda: nn.Linear(5, 2), NUMBERS, errors.IncompatibleModel, "forward failed on inputs made from the schema"),
    "no tensor": (models.Textual, NUMBERS, errors.IncompatibleModel, "returns a str without a tensor"),
    "no batch": (lambda: nn.Flatten(0), NUMBERS, errors.IncompatibleModel, r"has the shape \[8\]"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_models_that_do_not_fit_the_schema(case: str) -> None:
    make, schema, kind, words = MISFITS[case]
    with pytest.raises(kind, match=words) as refused:
        Converter(make(), schema, NOTHING)
    assert refused.value.next
    assert refused.value.charged == "nothing"


@pytest.mark.parametrize("name", ["x):\n    import os\n    return (", "lambda", "self", "a b", "", "1"])
def test_names_from_the_server_never_become_code(name: str) -> None:
    hostile = Schema((TensorSpec(name, torch.float32, (8,)),), LABEL, named=True)
    for model in (models.Encoder(), models.Named()):
        with pytest.raises(errors.InvalidArgument):
            Converter(model, hostile, NOTHING)


def test_a_forward_on_the_instance_counts(tmp_path: Path) -> None:
    model = models.Named()
    vars(model)["forward"] = types.MethodType(lambda self, x: -self.head(x), model)
    archive = loaded(convert(model, NUMBERS), tmp_path)
    x = torch.randn(1, 8)
    assert torch.allclose(compute(archive, x), -model.head(x))


def test_a_model_that_cannot_be_traced() -> None:
    model = models.Encoder()
    elsewhere = nn.Linear(8, 2)
    vars(model.classifier)["forward"] = lambda x: elsewhere(x)
    with pytest.raises(errors.IncompatibleModel, match="cannot be turned into TorchScript"):
        convert(model, TEXT_BY_NAME)


def test_a_module_that_is_torchscript_already(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(nn.Linear(8, 2).eval())
        named = torch.jit.script(models.Named())
        pair = torch.jit.script(models.Pair())
    archive = loaded(convert(scripted, NUMBERS), tmp_path)
    assert archive.training
    assert not scripted.training
    with pytest.raises(errors.InvalidArgument, match="missing a required argument: 'right'"):
        Converter(pair, NUMBERS, NOTHING)
    with pytest.raises(errors.IncompatibleModel, match="must return one tensor"):
        Converter(named, NUMBERS, NOTHING).script()


def test_a_model_that_cannot_be_copied() -> None:
    model = nn.Linear(8, 2)
    model.kept = model(torch.zeros(8))
    with pytest.raises(errors.InvalidArgument, match="cannot be copied"):
        Converter(model, NUMBERS, NOTHING)


def test_conversion_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    class Noisy(models.Encoder):
        def forward(self, *tensors: Any, **kwargs: Any) -> Any:
            print("hello from forward")
            warnings.warn("an old argument", stacklevel=1)
            return super().forward(*tensors, **kwargs)

    convert(Noisy(), TEXT_BY_NAME)
    assert capfd.readouterr() == ("", "")


def test_made_inputs_come_from_the_schema_alone() -> None:
    schema = Schema(
        (
            TensorSpec("input_ids", torch.int64, (6,)),
            TensorSpec("attention_mask", torch.int64, (6,)),
            TensorSpec("src_key_padding_mask", torch.bool, (6,)),
            TensorSpec("token", torch.int32, ()),
            TensorSpec("pixels", torch.float16, (2, 2)),
        ),
        LABEL,
        named=True,
    )
    public = PublicFacts(0, {"token": (5, 9), "pixels": (10, 20)})
    names = [spec.name for spec in schema.inputs]
    for variant in (0, 1):
        made = made_inputs(schema, public, names, variant)
        assert [(t.dtype, tuple(t.shape)) for t in made] == [(s.dtype, (1, *s.shape)) for s in schema.inputs]
        ids, mask, _, token, pixels = made
        assert set(ids.flatten().tolist()) <= {0, 1}
        assert mask.flatten().tolist() == ([1] * 6 if variant == 0 else [1, 1, 1, 0, 0, 0])
        assert 5 <= token.item() <= 9
        assert ((pixels >= 10) & (pixels <= 20)).all()
    first, second = (made_inputs(schema, public, names, variant) for variant in (0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, made_inputs(schema, public, names, 0), strict=True)), "always the same"
    assert not any(torch.equal(a, b) for a, b in zip(first[:3], second[:3], strict=True))


def test_threads_that_convert_at_once_leave_the_process_as_it_was(tmp_path: Path) -> None:
    before = (sys.stdout, sys.stderr, list(warnings.filters), random.getstate())
    kinds = [models.Encoder, models.Forgetful] * 2 + [models.Encoder]
    failed: list[BaseException] = []
    begin = threading.Barrier(len(kinds))

    def work(number: int, kind: type[nn.Module]) -> None:
        begin.wait(20)
        try:
            for _ in range(3):
                save(convert(kind(), TEXT_BY_NAME).module, tmp_path / f"{number}.pt")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=each) for each in enumerate(kinds)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    assert not any(thread.is_alive() for thread in threads)
    assert (sys.stdout, sys.stderr, list(warnings.filters), random.getstate()) == before
