"""Mutants of the Go part: sampling, noise, what the trainer takes, what the server believes."""

from __future__ import annotations

from mutant import Go, Mutant, Replacement, Whole, without

TRAINER = "internal/trainer"
SUPERVISOR = "internal/supervisor"

GO_MUTANTS: list[Mutant] = [
    without(
        "sampling takes slots in a row",
        f"{TRAINER}/sampling.go",
        "if binary.LittleEndian.Uint64(chunk[i*drawBytes:]) < s.threshold {",
        "if binary.LittleEndian.Uint64(chunk)+uint64(first+i)*(^uint64(0)/uint64(s.slots)) < s.threshold {",
        Go(TRAINER, "TestSamplesAreIndependentAndHaveTheirRate"),
    ),
    without(
        "a generator that runs dry goes unnoticed",
        f"{TRAINER}/sampling.go",
        "if _, err := io.ReadFull(s.random, chunk); err != nil {",
        "if _, err := io.ReadFull(s.random, chunk); err != nil && first > 0 {",
        Go(TRAINER, "TestASlotIsSampledIffItsDrawIsBelowTheThreshold"),
    ),
    without(
        "every slot in every step",
        f"{TRAINER}/chance.go",
        "includesAll(asked bool) bool { return asked }",
        "includesAll(asked bool) bool { return true }",
        Go(TRAINER, "TestAStepWithoutARecordIsNoisedLikeAnyOther"),
    ),
    without(
        "empty slots are left out of the sample",
        f"{TRAINER}/sampling.go",
        "pass[i] = emptySlot",
        "pass = pass[:i]",
        Go(TRAINER, "TestPassesFollowFromTheSampledSlotsAlone|TestTrainingRunsAllSteps"),
    ),
    without(
        "noise under a key that everybody knows",
        f"{TRAINER}/noise.go",
        "return aes.NewCipher(key[:])",
        "clear(key[:])\n\treturn aes.NewCipher(key[:])",
        Go(TRAINER, "TestKeystream|TestEveryAttemptHasItsOwnNoise"),
    ),
    Mutant(
        "noise of every run under one key",
        (
            Replacement(f"{TRAINER}/steps.go", '"fmt"\n', '"fmt"\n\t"strings"\n'),
            Replacement(
                f"{TRAINER}/steps.go",
                "noise, err := newKeystream(rand.Reader)",
                'noise, err := newKeystream(strings.NewReader(strings.Repeat("k", keyBytes)))',
            ),
        ),
        Go(TRAINER, "TestTwoRunsHaveNothingInCommon"),
    ),
    Mutant(
        "masks of every run under one key",
        (
            Replacement(f"{TRAINER}/steps.go", '"fmt"\n', '"fmt"\n\t"strings"\n'),
            Replacement(
                f"{TRAINER}/steps.go", "newDraws(rand.Reader)", 'newDraws(strings.NewReader(strings.Repeat("k", keyBytes)))'
            ),
        ),
        Go(TRAINER, "TestTwoRunsHaveNothingInCommon"),
    ),
    without(
        "the key stream is zeros",
        f"{TRAINER}/noise.go",
        "\tk.stream.XORKeyStream(p, p)\n",
        "",
        Go(TRAINER, "TestKeystream|TestTrainingRunsAllSteps"),
    ),
    without(
        "half of the noise",
        f"{TRAINER}/chance.go",
        "multiplier*sensitivity, math",
        "multiplier*sensitivity/2, math",
        Go(TRAINER, "TestTrainingRunsAllSteps"),
    ),
    without(
        "noise as if nothing were rounded",
        f"{TRAINER}/settings.go",
        "s.GetMaxGradNorm()*(1+s.GetEta())",
        "s.GetMaxGradNorm()",
        Go(TRAINER, "TestTheNoiseCovers"),
    ),
    without(
        "eta is zero",
        "internal/planning/release.go",
        "found.eta = roundingShare + found.gridError + remainderShare",
        "found.eta = 0",
        Go("internal/planning", "TestTheGrid"),
    ),
    without(
        "the grid may be as coarse as it likes",
        "internal/planning/release.go",
        "found.gridError = math.Inf(1); found.gridError > gridShare;",
        "found.gridError = math.Inf(1); found.gridError > 1;",
        Go("internal/planning", "TestTheGrid"),
    ),
    without(
        "a private run may have no noise",
        f"{TRAINER}/settings.go",
        "positive(s.GetNoiseMultiplier())",
        "s.GetNoiseMultiplier() >= 0",
        Go(TRAINER, "TestPrepareFaults"),
    ),
    without(
        "all records draw from one generator",
        f"{TRAINER}/draws.go",
        "binary.BigEndian.PutUint64(in[8:], uint64(record))",
        "_ = record",
        Go(TRAINER, "TestDrawsAreARecordsOwn"),
    ),
    without(
        "a record draws by its place in the pass",
        f"{TRAINER}/draws.go",
        "binary.BigEndian.PutUint64(in[8:], uint64(record))",
        "binary.BigEndian.PutUint64(in[8:], uint64(i)+0*uint64(record))",
        Go(TRAINER, "TestDrawsAreARecordsOwn"),
    ),
    without(
        "a pass that failed is not made again",
        f"{TRAINER}/steps.go",
        "if !failed || passSize == 1 {",
        "if !failed || passSize >= 1 {",
        Go(TRAINER, "TestAPassThatFailsIsMadeAgainWithoutTheRecordsThatFail"),
    ),
    without(
        "records that fail take part again",
        f"{TRAINER}/steps.go",
        "if fails {",
        "if fails && passSize < 0 {",
        Go(TRAINER, "TestAPassThatFailsIsMadeAgainWithoutTheRecordsThatFail"),
    ),
    without(
        "a sample keeps the order of the dataset",
        f"{TRAINER}/steps.go",
        "if err := shuffle(sample, order); err != nil {",
        "if err := shuffle(nil, order); err != nil {",
        Go(TRAINER, "TestTwoRunsHaveNothingInCommon|TestTrainingRunsAllSteps|TestEveryOrder"),
    ),
    without(
        "the trainer believes the server's judgement",
        f"{TRAINER}/train.go",
        "if err := canonical.Judge(p.Operators, announced.GetSchema(), announced.GetLoss()); err != nil {",
        "if err := canonical.Judge(p.Operators, announced.GetSchema(), announced.GetLoss()); err != nil && p == nil {",
        Go(TRAINER, "TestAProgramIsJudgedAgainBeforeTheData|TestPrepareFaults"),
    ),
    without(
        "a program's digest is not compared",
        f"{TRAINER}/payload.go",
        "|| !bytes.Equal(found[:], digest) {",
        "|| bytes.Equal(found[:], nil) {",
        Go(TRAINER, "TestAProgramIsJudgedAgainBeforeTheData|TestPrepareFaults"),
    ),
    without(
        "a payload may change under a read",
        f"{TRAINER}/payload.go",
        "if seals&requiredSeals != requiredSeals {",
        "if seals&requiredSeals != requiredSeals && seals < 0 {",
        Go(TRAINER, "TestIntakeFaults|TestPrepareFaults|TestAfterTheDataEveryFaultIsBare"),
    ),
    without(
        "what went wrong with the data is told",
        f"{TRAINER}/train.go",
        "return p.fail(bareFault(), err)",
        "return p.fail(faultOf(err), err)",
        Go(TRAINER, "TestAfterTheDataEveryFaultIsBare"),
    ),
    without(
        "progress is believed whatever it says",
        f"{SUPERVISOR}/epochs.go",
        "if !e.schedule.Follows(e.last, next) || next.GetStepsDone() > e.current.End {",
        "if next == nil {",
        Go(SUPERVISOR, "TestWithTheDataEveryFailureIsTheSame"),
    ),
    without(
        "what the table does not name is taken",
        "internal/program/operators.go",
        "Name: operator, Kind: Forbidden,",
        "Name: operator, Kind: Pure,",
        Go("internal/program", "TestOperatorsAreJudgedByTheTable"),
    ),
    without(
        "what the table forbids is taken",
        "internal/program/operators.go",
        "if operator.Kind != Forbidden {",
        'if operator.Name != "" {',
        Go("internal/program", "TestTheTable|TestTheEmbeddedTable"),
    ),
    without(
        "a device takes operators whose kernels nobody has read",
        "internal/program/kernels.go",
        "if ok && known.Kind != refusedKernels {",
        "if !ok || known.Kind != refusedKernels {",
        Go("internal/program", "TestADeviceTakesNoOperatorThatStopsIt"),
    ),
    without(
        "an operator is called checked that the engine does not look at",
        "internal/program/cuda.txt",
        "aten::masked_scatter refused",
        "aten::masked_scatter checked",
        Go("internal/program", "TestTheEngineChecksWhatTheTableSaysItDoes"),
    ),
    without(
        "the trainer believes the server about the device",
        f"{TRAINER}/train.go",
        "canonical.JudgeDevice(p.Engine.Device())",
        "canonical.JudgeDevice(program.CPU)",
        Go(TRAINER, "TestAProgramIsJudgedForTheDeviceBeforeTheData"),
    ),
    without(
        "a model that could stop the device is priced",
        "internal/training/quote.go",
        "program.JudgeUses(request.GetDevice(), o.model.Report.GetOperators())",
        "program.JudgeUses(program.CPU, o.model.Report.GetOperators())",
        Go("internal/training", "TestAModelThatCouldStopTheDeviceIsRefused"),
    ),
]

# Built as a release and asked by the auditor what its weights tell.
AUDIT = Whole("tests/test_audit.py")
AUDITED: list[Mutant] = [
    without(
        "half of the noise, in a release build",
        f"{TRAINER}/chance.go",
        "multiplier*sensitivity, math",
        "multiplier*sensitivity/2, math",
        AUDIT,
    ),
    without(
        "every slot in every step, in a release build",
        f"{TRAINER}/chance.go",
        "includesAll(asked bool) bool { return asked }",
        "includesAll(asked bool) bool { return true }",
        AUDIT,
    ),
    without(
        "clipping at twice the norm, in a release build",
        f"{TRAINER}/settings.go",
        "training.ClippingNorm = s.GetMaxGradNorm()",
        "training.ClippingNorm = 2 * s.GetMaxGradNorm()",
        AUDIT,
    ),
]

MUTANTS = [*GO_MUTANTS, *AUDITED]
