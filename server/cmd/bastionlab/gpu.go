package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/supervisor"
)

const (
	buildCUDA = "build it with `make -C server cuda`, or leave --cuda out: then runs are computed on the CPU"
	gpuAdvice = "run `bastionlab doctor --cuda`, or leave --cuda out: then runs are computed on the CPU"

	gpuFinding = "GPU"
)

// openGPU starts the trainer for GPUs once. Who said --cuda is not left with a server that computes on the CPU alone: where the GPU does not
// work, the server does not start.
func openGPU(ctx context.Context, l *supervisor.Launcher, s settings, log *slog.Logger, development bool) (missing []string, err error) {
	report, err := l.Probe(ctx, supervisor.CUDA)
	if err != nil {
		return nil, refusal.New(refusal.Unavailable, gpuAdvice, "the trainer for the GPU %s does not work: %s", s.cudaTrainer(), err)
	}
	log.InfoContext(ctx, "trainer for the GPU probed", "path", s.cudaTrainer(), "torch", report.TorchVersion, "missing", report.Missing())
	return report.Missing(), checkSandbox(ctx, log, report.Missing(), development)
}

// devices are what runs may be computed on beside the CPU.
func (s *settings) devices() []string {
	if !s.cuda {
		return nil
	}
	return []string{supervisor.CUDA}
}

// checkGPU refuses a setting that names a program that is not there.
func (s *settings) checkGPU() error {
	info, err := os.Stat(s.cudaTrainer())
	if !s.cuda || err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
		return nil
	}
	return refusal.New(refusal.Unavailable, buildCUDA, "--cuda is set, and there is no program %s", s.cudaTrainer())
}

// warnOfGPU says what computing on a GPU means for those who rely on evidence, to the log and to a person who is looking.
func warnOfGPU(ctx context.Context, log *slog.Logger, terminal io.Writer) {
	log.WarnContext(ctx, "runs may be computed on a GPU: its memory, its driver and what runs on it are outside of what evidence speaks of; owners of datasets must permit it (Permissions(gpu=True)), or run it themselves")
	if terminal != nil {
		fmt.Fprint(terminal, "\n  GPU\n  Runs may be computed on this machine's GPU: its memory, its driver and what runs on it are outside of what evidence speaks of.\n  Owners of datasets must permit it: Permissions(gpu=True).\n\n")
	}
}

// examineGPU looks for what computing on a GPU takes. Where it is not switched on nothing of it can be missing. root is / but in tests.
func examineGPU(ctx context.Context, s settings, root string) []finding {
	driver, devices := gpuDriver(root), gpuDevices(root)
	if !s.cuda {
		return []finding{{gpuFinding, true, fmt.Sprintf("not used: --cuda offers it to runs. Driver: %s; device files: %s", driver.Detail, devices.Detail)}}
	}
	program := finding{gpuFinding + ": trainer", true, s.cudaTrainer()}
	if s.checkGPU() != nil {
		program.OK, program.Detail = false, fmt.Sprintf("there is no program %s: %s", s.cudaTrainer(), buildCUDA)
	}
	findings := []finding{program, driver, devices}
	if !program.OK {
		return findings
	}
	l, err := newLauncher(s, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return findings // as the other trainer's findings say
	}
	report, err := l.Probe(ctx, supervisor.CUDA)
	if err != nil {
		return append(findings, finding{gpuFinding + ": computes", false, plain(err.Error())})
	}
	findings = append(findings, finding{gpuFinding + ": computes", true, "a private step, in the closed sandbox, with torch " + report.TorchVersion})
	for _, of := range sandbox(report) {
		findings = append(findings, finding{gpuFinding + " " + of.Name, of.OK, of.Detail})
	}
	return findings
}

// gpuDriver is the kernel's part of NVIDIA's driver, as it tells its release.
func gpuDriver(root string) finding {
	const name = "proc/driver/nvidia/version"
	content, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		return finding{gpuFinding + ": driver", false, "none is loaded: there is no /" + name}
	}
	first, _, _ := strings.Cut(string(content), "\n")
	return finding{gpuFinding + ": driver", true, plain(strings.TrimPrefix(first, "NVRM version: "))}
}

// gpuDevices are the files that the driver's other part opens. It would make those that are missing, by a program that a trainer may not start.
func gpuDevices(root string) finding {
	var missing []string
	for _, path := range []string{"/dev/nvidiactl", "/dev/nvidia-uvm"} {
		if !fileExists(filepath.Join(root, path)) {
			missing = append(missing, path)
		}
	}
	found, err := filepath.Glob(filepath.Join(root, "dev/nvidia[0-9]*"))
	if err != nil || len(found) == 0 {
		missing = append(missing, "/dev/nvidia0")
	}
	if len(missing) > 0 {
		return finding{gpuFinding + ": device files", false, "there is no " + strings.Join(missing, ", ") + ": `nvidia-modprobe -c 0 -u` makes them, as root"}
	}
	return finding{gpuFinding + ": device files", true, fmt.Sprintf("/dev/nvidiactl, /dev/nvidia-uvm, GPUs: %d, of which the first is used", len(found))}
}
