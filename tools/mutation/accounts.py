"""Mutants of what an account admits: the filters of docs/composition.md."""

from __future__ import annotations

from mutant import Go, Mutant, without

ACCOUNTING = "internal/accounting"


def mutant(name: str, file: str, old: str, new: str, tests: str) -> Mutant:
    return without(name, f"{ACCOUNTING}/{file}", old, new, Go(ACCOUNTING, tests))


MUTANTS: list[Mutant] = [
    mutant(
        "divergences are rounded down",
        "renyi.go",
        "units = math.Ceil(units*(1+0x1p-49)) + 1",
        "units = math.Floor(units)",
        "TestRenyiOfIsTheMomentRoundedUp|TestRenyiSaturates",
    ),
    mutant("a part is rounded down", "renyi.go", "if rest > 0 {", "if rest > uint64(steps) {", "TestPartOf"),
    mutant(
        "a part of what is not known",
        "renyi.go",
        "case r < 0 || r >= MaxRenyi || done < 0:",
        "case r < 0 || done < 0:",
        "TestPartOf",
    ),
    mutant(
        "sums of divergences overflow",
        "renyi.go",
        "return min(r+other, MaxRenyi)",
        "return r + other",
        "TestPlus|TestTotalsDoNotDependOnTheOrderOfRuns",
    ),
    mutant(
        "a negative divergence makes room",
        "renyi.go",
        "if r < 0 || other < 0 || r >= MaxRenyi || other >= MaxRenyi {",
        "if r >= MaxRenyi || other >= MaxRenyi {",
        "TestPlus",
    ),
    mutant("sums of eps overflow", "cost.go", "if a < 0 || b < 0 || a > math.MaxInt64-b {", "if a < 0 || b < 0 {", "TestPlus"),
    mutant("what was never computed costs nothing", "cost.go", "return MaxRenyi", "return 0", "TestPlus|TestNoNoiseLeft"),
    mutant(
        "basic composition has all of delta",
        "filter.go",
        "return total.Epsilon <= f.Limit && total.Delta <= f.Delta/2",
        "return total.Epsilon <= f.Limit && total.Delta <= f.Delta",
        "TestAdmitsIsMonotoneInEveryPart",
    ),
    mutant(
        "every filter has all of the counting half",
        "filter.go",
        "(1 - deltaReserve) / float64(2*len(f.Orders))",
        "(1 - deltaReserve) / 2",
        "TestABoundConvertsToItsLimit",
    ),
    mutant(
        "nothing is set aside for the sampler",
        "filter.go",
        "const deltaReserve = 0x1p-9",
        "const deltaReserve = 0",
        "TestABoundConvertsToItsLimit",
    ),
    mutant(
        "what is saturated is admitted",
        "filter.go",
        "return total >= 0 && total < MaxRenyi && total <= f.bound(i)",
        "return total >= 0 && total <= f.bound(i)",
        "TestHostileFilters",
    ),
    mutant(
        "the conversion is Mironov's plain one, and its sign is wrong",
        "filter.go",
        "price := math.Log1p(-1/a) - (math.Log(share)+math.Log(a))/(a-1)",
        "price := -math.Log1p(-1/a) - math.Log(share)/(a-1)",
        "TestABoundConvertsToItsLimit",
    ),
    mutant(
        "eps counts where its delta does not fit",
        "filter.go",
        "total.Delta >= 0 && total.Delta <= f.Delta/2 {",
        "total.Delta >= 0 {",
        "TestSpent",
    ),
    mutant(
        "noise that was refused", "noiseleft.go", "return noiseOf(enough), true", "return noiseOf(below), true", "TestNoiseLeft"
    ),
    mutant(
        "a run's other costs are left out of its noise",
        "noiseleft.go",
        "left := spent.renyi(i).plus(extra)",
        "left := spent.renyi(i)",
        "TestNoiseLeft|TestNoNoiseLeft",
    ),
    mutant(
        "a moment lacks its second term",
        "moment.go",
        "for k := 2.0; k <= order; k++ {",
        "for k := 3.0; k <= order; k++ {",
        "TestMomentsAgreeWithTheirIntegral",
    ),
]
