"""Mutants of what lets a trainer compute on a GPU, and lets no other."""

from __future__ import annotations

from mutant import Go, Mutant, without

SANDBOX = "internal/sandbox"
SUPERVISOR = "internal/supervisor"
TRAINER = "internal/trainer"
COMMAND = "cmd/bastionlab"

MUTANTS: list[Mutant] = [
    without(
        "every descriptor may be controlled",
        f"{SANDBOX}/cuda.go",
        'Name: "ioctl", Conditions: []seccomp.Condition{equals(0, uint64(descriptor))}',
        'Name: "ioctl", Conditions: []seccomp.Condition{lacks(0, uint64(descriptor)<<32)}',
        Go(SANDBOX, "TestOnlyTheTrainerForGPUsHoldsAGPU|TestCallsAreJudged"),
    ),
    without(
        "a driver's other devices may be controlled",
        f"{SANDBOX}/cuda.go",
        "nvidia-uvm|nvidia[0-9]+)$",
        "nvidia-uvm|nvidia.*)$",
        Go(SANDBOX, "TestOnlyFilesOfTheGPU"),
    ),
    without(
        "a trainer for the CPU looks for a GPU",
        f"{SANDBOX}/device_cpu.go",
        "{ return nil, nil }",
        "{ return descriptorsOf(isGPU) }",
        Go(SANDBOX, "TestOnlyTheTrainerForGPUsHoldsAGPU"),
    ),
    without(
        "what a driver calls is let through for everybody",
        f"{SANDBOX}/policy.go",
        "if len(gpus) > 0 {",
        "if true {",
        Go(SANDBOX, "TestWithoutGPUTheFilter"),
    ),
    without(
        "every device may be opened while a driver starts",
        f"{SANDBOX}/confined/landlock_cuda.c",
        "    if (!chosen(entry->d_name)) continue;\n",
        "",
        Go(SANDBOX, "TestOnlyTheTrainerForGPUsHoldsAGPU"),
    ),
    without(
        "every trainer may open what a driver opens",
        f"{SANDBOX}/confined/landlock.c",
        '    {"/dev/urandom", BL_READ_FILE},',
        '    {"/dev/urandom", BL_READ_FILE},\n    {"/etc/ld.so.cache", BL_READ_FILE},',
        Go(SANDBOX, "TestOnlyTheTrainerForGPUsHoldsAGPU"),
    ),
    without(
        "libraries may be written to while a driver starts",
        f"{SANDBOX}/confined/landlock_cuda.c",
        "#define DIRECTORY (BL_READ_FILE | BL_READ_DIRECTORY)",
        "#define DIRECTORY (BL_READ_FILE | BL_READ_DIRECTORY | BL_WRITE_FILE | (1ULL << 8))",
        Go(SANDBOX, "TestOnlyTheTrainerForGPUsHoldsAGPU"),
    ),
    without(
        "a thread that cannot be named stops the driver",
        f"{SANDBOX}/confined/name_cuda.c",
        "  return 0;",
        "  return 34;",
        Go(SANDBOX, "TestOnlyTheTrainerForGPUsHoldsAGPU"),
    ),
    without(
        "a trainer is believed to compute on what it was started for",
        f"{SUPERVISOR}/inspect.go",
        "if hello.GetDevice() != device {",
        "if false {",
        Go(SUPERVISOR, "TestATrainerOfAnotherDevice"),
    ),
    without(
        "a run for a GPU is prepared on the CPU",
        f"{SUPERVISOR}/supervisor.go",
        'if device := settings.GetDevice(); device != "" {',
        'if device := settings.GetDevice(); device == "" {',
        Go(SUPERVISOR, "TestARunIsPreparedByTheProgram"),
    ),
    without(
        "the first device's sandbox is everybody's measure",
        f"{SUPERVISOR}/inspect.go",
        "first := l.baselines[device]",
        "first := l.baselines[CPU]",
        Go(SUPERVISOR, "TestEachDeviceHasItsOwnBaseline"),
    ),
    without(
        "every trainer inherits what a driver reads",
        f"{SUPERVISOR}/environment.go",
        "if device == CUDA {",
        "if true {",
        Go(SUPERVISOR, "TestTheEnvironmentIsAList"),
    ),
    without(
        "a trainer takes runs for another device",
        f"{TRAINER}/train.go",
        "asked != p.Engine.Device() {",
        "asked != p.Engine.Device() && false {",
        Go(TRAINER, "TestATrainerForGPUsTakesRunsForGPUsOnly"),
    ),
    without(
        "more descriptors than a filter can hold",
        f"{SANDBOX}/cuda.go",
        "const maxCUDADescriptors = 960",
        "const maxCUDADescriptors = 1024",
        Go(SANDBOX, "TestTheFilterHoldsEveryDescriptor"),
    ),
    without(
        "a probe does not try whether the device computes",
        f"{TRAINER}/trial.go",
        "failed, err := makeSteps(run.trainer, run)",
        "failed, err := false, error(nil)",
        Go(TRAINER, "TestATrialMakesPrivateSteps"),
    ),
    without(
        "a device that fails at a pass is taken for one that computes",
        f"{TRAINER}/trial.go",
        "if err == nil && failed {",
        "if err == nil && failed && false {",
        Go(TRAINER, "TestAPassOfZerosThatFails"),
    ),
    without(
        "a run is begun on a device that fails at a pass",
        f"{TRAINER}/train.go",
        "if failed && p.Engine.Device() != program.CPU {",
        "if failed && false {",
        Go(TRAINER, "TestAPassOfZerosThatFails"),
    ),
    without(
        "a server that was to offer a GPU starts without one",
        f"{COMMAND}/gpu.go",
        "if !s.cuda || err == nil",
        "if true || err == nil",
        Go(COMMAND, "TestAServerWithoutTheTrainerForGPUs"),
    ),
    without(
        "the attested configuration does not tell of a GPU",
        f"{COMMAND}/configuration.go",
        'lines = append(lines, "cuda-trainer-sha256 = "+digest)',
        "_ = digest",
        Go(COMMAND, "TestTheAttestedConfigurationIs"),
    ),
]
