"""What metrics and traces may tell, and how a server stops."""

from __future__ import annotations

from mutant import Go, Mutant, without

MUTANTS: list[Mutant] = [
    without(
        "an upload is timed in the metrics",
        "internal/telemetry/words.go",
        "return !w.untimed[action]",
        "return action != other",
        Go("internal/telemetry", "TestWhatRecordsMakeIsNotTold"),
    ),
    without(
        "a label is whatever somebody makes of it",
        "internal/telemetry/words.go",
        "return other",
        "return word",
        Go("internal/telemetry", "TestLabelsAreOfFixedSets"),
    ),
    without(
        "an upload has a span",
        "internal/telemetry/traces.go",
        "if !t.words.timed(action) {",
        "if false {",
        Go("internal/telemetry", "TestSpansReachACollector"),
    ),
    without(
        "datasets are told unasked",
        "cmd/bastionlab/figures.go",
        "if w.budgets {",
        "if true {",
        Go("cmd/bastionlab", "TestMetricsNameNobody"),
    ),
    without(
        "metrics leave unattested",
        "cmd/bastionlab/configuration.go",
        'if s.metricsListen != "" {',
        "if false {",
        Go("cmd/bastionlab", "TestTheAttestedConfiguration"),
    ),
    without(
        "traces leave unattested",
        "cmd/bastionlab/configuration.go",
        'if s.traceEndpoint != "" {',
        "if false {",
        Go("cmd/bastionlab", "TestTheAttestedConfiguration"),
    ),
    without(
        "a server that stops takes calls",
        "internal/server/drain.go",
        "if d.stopping {\n\t\treturn false",
        "if false {\n\t\treturn false",
        Go("internal/server", "TestWhoCallsAServerThatStops"),
    ),
]
