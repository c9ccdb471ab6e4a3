"""Mutants of the engine: norms, clipping, the walls between records, noise, what is refused."""

from __future__ import annotations

from mutant import Engine, Mutant, Replacement, without

SRC = "engine/src"


def on_device(*names: str) -> Engine:
    """Models that hand a record's numbers to kernels that take not every one; a kernel that fails is the process's end."""
    return Engine(("test_bounds.py",), " or ".join(names), device="privateuseone")


def attacks(*names: str) -> Engine:
    """Some of the hostile zoo."""
    return Engine(("test_hostile_catalogue.py",), " or ".join(names))


PLAIN_LOOPS = ("gaussian", "grid", "normal_tail")
ORACLE = Engine(("test_oracle.py",), "linear or embedding")
STEP = Engine(("test_step.py",), "one_step_of_sgd")
NOISE = Engine(("test_noise.py",), "right_size or scaled_by")

CLIPPING: list[Mutant] = [
    Mutant(
        "a gradient that is no number counts",
        (
            Replacement(
                f"{SRC}/norms.cpp",
                "norms.isfinite().logical_and_(at::maximum(norms, spread).mul(factors).le(limit)).logical_and_(counts)",
                "counts",
            ),
            Replacement(f"{SRC}/norms.cpp", "sound = sound.logical_and_(factors.ge(kSmallestFactor));", ""),
        ),
        attacks("NOT_FINITE-ZeroTimesInfinity", "NOT_FINITE-Huge"),
    ),
    without(
        "a factor that vanishes in float32 counts",
        f"{SRC}/norms.cpp",
        "sound = sound.logical_and_(factors.ge(kSmallestFactor));",
        "",
        Engine(("test_hostile_release.py",)),
    ),
    without(
        "zero times infinity stands in the sum",
        f"{SRC}/factors.cpp",
        "return rows.masked_fill(as_column(factors, rows).eq(0), 0);",
        "return rows;",
        attacks("NOT_FINITE-Plain"),
    ),
    without(
        "an empty slot counts",
        f"{SRC}/pass.cpp",
        "losses.counts.logical_and(occupied)",
        "losses.counts",
        Engine(("test_oracle.py", "test_step.py"), "linear or one_step"),
    ),
    without(
        "small gradients are lifted to the clipping norm",
        f"{SRC}/norms.cpp",
        ".clamp_max_(1)",
        "",
        Engine(("test_oracle.py", "test_step.py"), "linear or one_step"),
    ),
    without(
        "no record is clipped",
        f"{SRC}/norms.cpp",
        "if (clipping_norm.has_value()) {",
        "if (false) {",
        attacks("UNSEEN_USE-TwoNames"),
    ),
    without(
        "squares of products in float32",
        f"{SRC}/outer.cpp",
        "at::Tensor l = left_.to(at::kDouble).flatten(0, 1), r = right_.to(at::kDouble).flatten(0, 1);",
        "at::Tensor l = left_.flatten(0, 1), r = right_.flatten(0, 1);",
        Engine(("test_hostile_cancellation.py",), "squares"),
    ),
    without(
        "squares of rows in float32",
        f"{SRC}/factors.cpp",
        "at::linalg_vector_norm(rows, 2, at::IntArrayRef{1}, false, at::kDouble).square()",
        "at::linalg_vector_norm(rows, 2, at::IntArrayRef{1}).square().to(at::kDouble)",
        Engine(("test_hostile_records.py",), "square_overflows"),
    ),
    without(
        "parts that cancel may be as large as they like",
        f"{SRC}/norms.cpp",
        "at::maximum(norms, spread.div(largest))",
        "norms",
        Engine(("test_hostile_cancellation.py",), "held"),
    ),
    without(
        "the norm of the first use of a parameter only",
        f"{SRC}/norms.cpp",
        """    if (uses.size() == 1) squares.add_(uses[0]->squared_norms());
    if (uses.size() > 1) squares.add_(norms_of_sums(uses, parameters[p], slots));
""",
        "    if (!uses.empty()) squares.add_(uses[0]->squared_norms());\n",
        attacks("UNSEEN_USE"),
    ),
    without(
        "a row that is looked up twice is measured once",
        f"{SRC}/rows.cpp",
        "if (positions > 1) is_new.slice(1, 1).copy_(sorted.slice(1, 1).ne(sorted.slice(1, 0, -1)));",
        "is_new.slice(1, 1).fill_(1);",
        attacks("MANY_ROWS-ManyLookups"),
    ),
    without(
        "a parameter may be a constant too",
        f"{SRC}/replay.cpp",
        'require(!trainable_.contains(given.integer), "a trainable parameter is used as a constant");',
        "",
        Engine(("test_graph.py",)),
    ),
]

# Not among these: that a view lies within its memory. libtorch refuses such views itself, from archives and from every operator
# of the table, so that nothing would notice. Nor that subnormal numbers are flushed to zero: sums and bounds are the same without.
WALLS: list[Mutant] = [
    without(
        "one generator for all records of a pass",
        f"{SRC}/byrecord.cpp",
        "seed_generator(frame.device, frame.seeds.at(slot), place_);",
        "if (slot == 0) seed_generator(frame.device, frame.seeds.at(slot), place_);",
        attacks("RANDOMNESS", "SAMPLING"),
    ),
    without(
        "one draw for every place of the program",
        f"{SRC}/randomness.cpp",
        "(place + 1) * 0x9e3779b97f4a7c15",
        "(place * 0 + 1) * 0x9e3779b97f4a7c15",
        Engine(("test_randomness.py",), "draw_apart"),
    ),
    without(
        "kernels see records with gaps and overlaps",
        f"{SRC}/frame.cpp",
        "return all.dim() < 2 || all.select(0, 0).is_non_overlapping_and_dense() ? all : all.contiguous();",
        "return all;",
        Engine(("test_hostile_layout.py",), "neighbour"),
    ),
    without(
        "products are differentiated for the whole pass",
        f"{SRC}/operators.cpp",
        'return op.schema().name() == "aten::prod";',
        "return false;",
        Engine(("test_hostile_company.py",), "differentiated"),
    ),
    without(
        "a record is probed beside empty slots",
        f"{SRC}/trainer.cpp",
        "  return try_measure(records, std::vector<int64_t>(size, slot), std::vector<uint64_t>(size, seed)).has_value();",
        "  std::vector<int64_t> one(size, -1);\n  one[0] = slot;\n"
        "  return try_measure(records, one, std::vector<uint64_t>(size, seed)).has_value();",
        Engine(("test_hostile_company.py",), "takes_nobody"),
    ),
    without(
        "nobody stands in for a record that fails",
        f"{SRC}/trainer.cpp",
        "    given.records[i] = stand_in;\n",
        "",
        attacks("FAILURE-FailsOnEmptyOnceMoved"),
    ),
    without(
        "who stands in for a record that fails counts",
        f"{SRC}/trainer.cpp",
        "  pass->counts.logical_and_(kept.to(pass->counts.device()));\n",
        "",
        attacks("FAILURE-FailsByChance"),
    ),
    without(
        "a record on which the model fails ends the pass",
        f"{SRC}/trainer.cpp",
        "if (is_out_of_memory(e)) throw;\n    return std::nullopt;",
        "throw;",
        attacks("FAILURE-FailsByChance"),
    ),
    without(
        "an index is not compared with its own table",
        f"{SRC}/judge.cpp",
        'if (name == "aten::index_fill" || name == "aten::index_fill_") judge_index_fill(op, arguments, layer, varies);',
        "",
        attacks("MIXING-FillByIndex"),
    ),
    without(
        "libtorch is quoted to everybody",
        f"{SRC}/failure.cpp",
        "bool libtorch_is_quoted = false;",
        "bool libtorch_is_quoted = true;",
        Engine(("test_reasons.py",)),
    ),
    without(
        "a device meets what a kernel of the CPU would throw at",
        f"{SRC}/rewrite.cpp",
        "if (!device_.is_cpu()) operation = within_bounds(std::move(operation), step, context_);",
        "",
        on_device("Gather"),
    ),
    without(
        "an index at the end is within",
        f"{SRC}/bounds.cpp",
        "range(operand, int64_t{0}, size - 1)",
        "range(operand, int64_t{0}, size)",
        on_device("RowsOfParameter"),
    ),
    without(
        "an index from the end has no end",
        f"{SRC}/bounds.cpp",
        "range(operand, -size(dimension), size(dimension) - 1)",
        "range(operand, -size(dimension) - 1, size(dimension) - 1)",
        on_device("AdvancedIndex"),
    ),
    without(
        "a NaN is a probability",
        f"{SRC}/bounds.cpp",
        "all.ge(least).logical_and_(all.le(most)).all()",
        "all.lt(least).logical_or_(all.gt(most)).logical_not_().all()",
        on_device("Chance"),
    ),
    without(
        "the probabilities of a draw are not looked at",
        f"{SRC}/bounds.cpp",
        '{1, Within::kUnit, "Tensor"}',
        '{1, Within::kUnit, "p"}',
        on_device("ChanceInPlace"),
    ),
    without(
        "of an operator that adds in an order of chance nobody hears",
        f"{SRC}/device.cpp",
        "  context.setDeterministicAlgorithms(true, /*warn_only=*/false);\n",
        "  context.setDeterministicAlgorithms(true, /*warn_only=*/true);\n",
        Engine(("test_device_refuses.py",), device="privateuseone"),
    ),
    without(
        "on a device all records of a pass are summed before they are rounded",
        f"{SRC}/dense.cpp",
        "int64_t n = std::min(kMostRecords, g.size(0) - slot);\n      sum",
        "int64_t n = g.size(0);\n      if (slot > 0) break;\n      sum",
        Engine(("test_device.py",), "hosts_blocks", device="privateuseone"),
    ),
    without(
        "a device's draws are the generator's of the host",
        f"{SRC}/randomness.cpp",
        "defaultGenerator(device)",
        "defaultGenerator(at::kCPU)",
        Engine(("test_device_training.py",), "draws", device="privateuseone"),
    ),
    without(
        "a sum from a device gets no noise",
        f"{SRC}/trainer.cpp",
        "if (noise) return sum.release_into(",
        "if (noise && sum.numbers().device().is_cpu()) return sum.release_into(",
        Engine(("test_device_training.py",), "same_noise", device="privateuseone"),
    ),
    without(
        "a mask is one dimension",
        f"{SRC}/bounds.cpp",
        "dimension += static_cast<int64_t>(context_.shape(operand).size());",
        "dimension++;",
        on_device("IndexBehindMask"),
    ),
]

RELEASE: list[Mutant] = [
    without(
        "no noise",
        f"{SRC}/trainer.cpp",
        "if (noise) return sum.release_into(",
        "if (false) return sum.release_into(",
        NOISE,
    ),
    without(
        "half of the noise",
        f"{SRC}/release.cpp",
        "noise_stddev = t.noise_stddev / *unit;",
        "noise_stddev = t.noise_stddev / *unit / 2;",
        NOISE,
    ),
    without(
        "noise where a record was only",
        f"{SRC}/trainer.cpp",
        "if (noise) return sum.release_into(",
        "if (noise && sum.numbers().any().item<bool>()) return sum.release_into(",
        Engine(("test_step.py",), "frozen_parameters"),
    ),
    without(
        "divided by how many records there were",
        f"{SRC}/trainer.cpp",
        "  Slots all = checked(records, n_records, slots, seeds, n_slots);\n",
        "  Slots all = checked(records, n_records, slots, seeds, n_slots);\n"
        "  for (int64_t record : all.records) training_.normalizer += record >= 0 ? 1 : 0;\n",
        STEP,
    ),
    without(
        "the next step begins with this one's sum",
        f"{SRC}/grid.cpp",
        "    numbers[i] = 0;\n",
        "",
        Engine(("test_trainer.py",), "clean"),
    ),
    without(
        "the next step on a device begins with this one's sum",
        f"{SRC}/sum.cpp",
        "  if (!numbers.is_same(numbers_)) clear();\n",
        "",
        Engine(("test_device_training.py",), device="privateuseone"),
    ),
    without(
        "fresh bytes for the first coordinates only",
        f"{SRC}/noise.cpp",
        "if (first == 0) fetch(next);",
        "",
        NOISE,
    ),
    without(
        "the next words are fetched to where these are rounded",
        f"{SRC}/noise.cpp",
        "room(static_cast<int>(turn), n - begin - count)",
        "room(0, n - begin - count)",
        Engine(("test_rounded_normal.py",), "of_its_own"),
    ),
    without(
        "all numbers that need a further word get the same one",
        f"{SRC}/noise.cpp",
        "  reserve_.pop_back();\n",
        "",
        Engine(("test_rounded_normal.py",), "reserve"),
    ),
    without(
        "the loss is told without noise",
        f"{SRC}/trainer.cpp",
        "if (noise) return sum.release_into(",
        "if (noise && &sum != &sums_.back()) return sum.release_into(",
        Engine(("test_release.py",), "loss_of_a_step"),
    ),
    without(
        "words that say too little of their noise say nothing",
        f"{SRC}/noise.cpp",
        "word = std::bit_cast<uint64_t>(rounded_normal(word, more(), stddev_));",
        "word = 0;",
        Engine(("test_rounded_normal.py",)),
    ),
    Mutant(
        "an exact contribution is neither scaled nor measured on the grid",
        (
            Replacement(
                f"{SRC}/trainer.cpp",
                "double factor = std::min(1.0, release_.gradient_norm * kExactMargin / norm);",
                "double factor = 1;",
            ),
            Replacement(f"{SRC}/trainer.cpp", "if (squares > static_cast", "if (false && squares > static_cast"),
        ),
        attacks("NOT_FINITE-Plain"),
    ),
    without(
        "a released loss is not clamped",
        f"{SRC}/release.cpp",
        "losses.clamp(0, loss_bound).mul_(loss_scale)",
        "losses.mul(loss_scale)",
        attacks("NOT_FINITE-Plain"),
    ),
    without(
        "a loss beside a gradient of the whole norm",
        f"{SRC}/release.cpp",
        "t.clipping_norm * (loss_bound > 0 ? std::sqrt(1 - kLossShare) : 1)",
        "t.clipping_norm",
        attacks("NOT_FINITE-Plain"),
    ),
    without(
        "products are not cut into blocks",
        f"{SRC}/blocks.cpp",
        "return static_cast<double>(records) * terms <= largest;",
        "return true;",
        Engine(("test_release.py",), "fewer_records"),
    ),
    Mutant(
        "the compiler may do as if there were no infinities",
        (
            Replacement("engine/Makefile", "CXXFLAGS += -O3", "CXXFLAGS += -O3 -ffast-math"),
            # Object files do not depend on the Makefile: a changed source is compiled again.
            *(Replacement(f"{SRC}/{name}.cpp", f'#include "{name}.h"', f'#include "{name}.h"  // again') for name in PLAIN_LOOPS),
        ),
        Engine(("test_release.py", "test_rounded_normal.py"), "does_not_fit or rounded or decides"),
    ),
]

REFUSALS: list[Mutant] = [
    without(
        "the table of operators is open",
        f"{SRC}/judge.cpp",
        "if (allowed_.contains(name)) return;",
        "return;",
        attacks("SIDE_OUTPUT-Save", "SIDE_OUTPUT-Print", "COLLUSION"),
    ),
    without(
        "what outlives a record may be written to",
        f"{SRC}/evaluator.cpp",
        "if (found == protected_.end()) continue;",
        "if (found == protected_.end() || true) continue;",
        attacks("STATE", "OPTIMIZER_STATE"),
    ),
    without(
        "values of a record may steer the program",
        f"{SRC}/evaluator.cpp",
        "if (varying && !gives_tensors(*op))",
        "if (false)",
        attacks("BRANCH"),
    ),
    without(
        "batch norm may learn",
        f"{SRC}/judge.cpp",
        'if (!argument(op, arguments, "training").toBool()) return;',
        "return;",
        attacks("MIXING-functional"),
    ),
    without(
        "shapes may depend on a record",
        f"{SRC}/judge.cpp",
        "judge_shape(op, arguments, layer, varies);\n",
        "",
        attacks("BRANCH"),
    ),
    without(
        "integers may be divided towards zero",
        f"{SRC}/judge.cpp",
        'if (!mode.isString() || mode.toStringRef() != "trunc") return;',
        "return;",
        attacks("FAILURE-Trap", "FAILURE-Truncate"),
    ),
    without(
        "an image may be scaled beside its size",
        f"{SRC}/judge.cpp",
        "if (!argument(op, arguments, scale).isNone())",
        "if (false)",
        attacks("MIXING-Scale"),
    ),
]

SETTINGS: list[Mutant] = [
    without(name, f"{SRC}/device.cpp", line, "", Engine(("test_device_settings.py",), device="privateuseone"))
    for name, line in {
        "a device may add in an order of chance": "context.setDeterministicAlgorithms(true, /*warn_only=*/false);",
        "a device's new memory holds what was there": "context.setDeterministicFillUninitializedMemory(true);",
        "a device may round to eleven bits": 'context.setFloat32MatmulPrecision("highest");',
        "cuDNN may choose kernels": "context.setUserEnabledCuDNN(false);",
        "a device may fuse attention": "context.setSDPUseMemEfficient(false);",
    }.items()
]

MUTANTS = [*CLIPPING, *WALLS, *RELEASE, *REFUSALS, *SETTINGS]
