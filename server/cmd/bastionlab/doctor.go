package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bastionlab/bastionlab/server/internal/attestation"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/supervisor"
)

const trainerFinding = "trainer"

// finding is one thing that the server needs of this machine, and whether it is there.
type finding struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

func newDoctorCommand() *cobra.Command {
	var s settings
	var asJSON bool
	command := &cobra.Command{
		Use:   "doctor",
		Short: "Say what of this machine the server can use, and what it lacks",
		Args:  noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := s.complete(command, os.LookupEnv); err != nil {
				return err
			}
			findings := examine(command, s)
			if err := printFindings(command, findings, asJSON); err != nil {
				return err
			}
			return verdict(findings)
		},
	}
	s.register(command.Flags())
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return command
}

func examine(command *cobra.Command, s settings) []finding {
	findings := []finding{
		{"memory limit of one trainer", true, s.memoryLimit.String()},
		{"threads of one trainer", true, fmt.Sprint(s.threads)},
		tee(fileExists),
	}
	onCPU := s
	onCPU.cuda = false // whatever is wrong with the GPU's is said there
	_, report, err := probe(command.Context(), onCPU, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		findings = append(findings, finding{trainerFinding, false, fmt.Sprintf("%s: %s", s.trainer, err)})
	} else {
		findings = append(findings, finding{trainerFinding, true, fmt.Sprintf("%s, torch %s", s.trainer, report.TorchVersion)})
		findings = append(findings, sandbox(report)...)
	}
	return append(findings, examineGPU(command.Context(), s, "/")...)
}

// tee is no fault where it is missing: then evidence is simulated, and says so.
func tee(exists func(path string) bool) finding {
	if device := attestation.Device(exists); device != "" {
		return finding{"TEE", true, device + ": it signs this server's evidence, and what is stored has its key in memory only, unless --storage says otherwise"}
	}
	return finding{"TEE", true, "none: evidence is simulated and proves nothing; a new data directory is in development mode until its first user is registered"}
}

func sandbox(report supervisor.Report) []finding {
	var findings []finding
	for _, layer := range report.Layers {
		findings = append(findings, finding{"sandbox: " + plain(layer.GetName()), layer.GetActive(), plain(layer.GetDetail())})
	}
	for _, attempt := range report.Attempts {
		findings = append(findings, finding{"denied: " + plain(attempt.GetCall()), attempt.GetDenied(), plain(attempt.GetDetail())})
	}
	return findings
}

func printFindings(command *cobra.Command, findings []finding, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(command.OutOrStdout()).Encode(findings)
	}
	var rows [][]string
	for _, f := range findings {
		mark := "ok"
		if !f.OK {
			mark = "MISSING"
		}
		rows = append(rows, []string{mark, f.Name, f.Detail})
	}
	return printTable(command, rows)
}

func verdict(findings []finding) error {
	var missing []string
	for _, f := range findings {
		if !f.OK {
			missing = append(missing, f.Name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if slices.Contains(missing, trainerFinding) {
		return refusal.New(refusal.Unavailable, "build it with `make`, or name one that works with --trainer", "the trainer does not work")
	}
	if strings.HasPrefix(missing[0], gpuFinding) {
		return refusal.New(refusal.Unavailable, "docs/gpu.md says what it takes; without --cuda the server computes on the CPU", "the GPU cannot be used: this machine lacks %s", strings.Join(missing, ", "))
	}
	return refusal.New(refusal.Unavailable, "a newer kernel, or a container with fewer restrictions of its own, allows a whole sandbox; development mode serves without",
		"this machine lacks %s", strings.Join(missing, ", "))
}
