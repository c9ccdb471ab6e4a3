package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/spf13/cobra"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// maxPlanFileBytes bounds what is read of a plan: a hundred thousand phases, more than any plan has.
const maxPlanFileBytes = 8 << 20

func newPrivacyCommand() *cobra.Command {
	return newGroup("privacy", "What training costs, and what noise it needs, without a server", newPrivacyEpsilonCommand(), newPrivacyNoiseCommand())
}

// privacyFlags are the figures of a run; which of them a command takes, its flags say.
type privacyFlags struct {
	sampleRate, noiseMultiplier, epsilon, delta float64
	steps                                       int64
	plan                                        string
	json                                        bool
}

func newPrivacyEpsilonCommand() *cobra.Command {
	var flags privacyFlags
	command := &cobra.Command{
		Use:   "epsilon --sample-rate Q --noise-multiplier S --steps T --delta D | --plan FILE --delta D",
		Short: "The epsilon that steps with this noise cost",
		Long: `The epsilon that steps with this noise cost: never below the true one.

Every step samples each record with probability Q, and its noise has S times the clipping norm as standard deviation. A plan is a JSON
file of several such runs, [[Q, S, T], ...], which are composed; "-" reads it from standard input.`,
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error { return printEpsilon(command, flags) },
	}
	set := command.Flags()
	set.Float64Var(&flags.sampleRate, "sample-rate", 0, "batch size / number of records, in (0, 1]")
	set.Float64Var(&flags.noiseMultiplier, "noise-multiplier", 0, "standard deviation of the noise / clipping norm")
	set.Int64Var(&flags.steps, "steps", 0, "number of steps")
	set.StringVar(&flags.plan, "plan", "", "JSON file with [[sample rate, noise multiplier, steps], ...] instead of these three")
	set.Float64Var(&flags.delta, "delta", 0, "probability with which epsilon may fail")
	set.BoolVar(&flags.json, "json", false, `print {"epsilon": ...}`)
	return command
}

func newPrivacyNoiseCommand() *cobra.Command {
	var flags privacyFlags
	command := &cobra.Command{
		Use:   "noise --sample-rate Q --epsilon E --steps T --delta D",
		Short: "The noise multiplier that steps need for an epsilon",
		Long:  "The noise multiplier that steps need for an epsilon: never below what is needed, and little above.",
		Args:  noArguments,
		RunE:  func(command *cobra.Command, _ []string) error { return printNoise(command, flags) },
	}
	set := command.Flags()
	set.Float64Var(&flags.sampleRate, "sample-rate", 0, "batch size / number of records, in (0, 1]")
	set.Float64Var(&flags.epsilon, "epsilon", 0, "the privacy loss to stay within")
	set.Int64Var(&flags.steps, "steps", 0, "number of steps")
	set.Float64Var(&flags.delta, "delta", 0, "probability with which epsilon may fail")
	set.BoolVar(&flags.json, "json", false, `print {"noise_multiplier": ...}`)
	return command
}

func printEpsilon(command *cobra.Command, flags privacyFlags) error {
	single := []string{"sample-rate", "noise-multiplier", "steps"}
	plan := []accounting.Steps{{SampleRate: flags.sampleRate, NoiseMultiplier: flags.noiseMultiplier, Count: flags.steps}}
	if command.Flags().Changed("plan") {
		for _, name := range single {
			if command.Flags().Changed(name) {
				return usageError(command, "--%s and --plan exclude each other", name)
			}
		}
		single = nil
		var err error
		if plan, err = readPlan(command.InOrStdin(), flags.plan); err != nil {
			return err
		}
	}
	if err := requireFlags(command, append(single, "delta")...); err != nil {
		return err
	}
	bound, err := accounting.Evaluate(plan, flags.delta)
	if err != nil {
		return err
	}
	sayIfCoarser(command, bound)
	return printFigure(command, flags.json, "epsilon", bound.Epsilon)
}

func printNoise(command *cobra.Command, flags privacyFlags) error {
	if err := requireFlags(command, "sample-rate", "epsilon", "steps", "delta"); err != nil {
		return err
	}
	found, err := accounting.Calibrate(flags.sampleRate, flags.steps, flags.epsilon, flags.delta)
	if err != nil {
		return err
	}
	sayIfCoarser(command, found.Bound)
	return printFigure(command, flags.json, "noise_multiplier", found.NoiseMultiplier)
}

// requireFlags names the first flag that is missing. It stands in for cobra's own check, whose error is not one of wrong usage.
func requireFlags(command *cobra.Command, names ...string) error {
	for _, name := range names {
		if !command.Flags().Changed(name) {
			return usageError(command, "--%s is missing", name)
		}
	}
	return nil
}

func sayIfCoarser(command *cobra.Command, bound accounting.Bound) {
	if bound.Method == accounting.RDP {
		fmt.Fprintln(command.ErrOrStderr(), "note: here the loss distribution's numerics give out; this is the coarser, safe Renyi bound")
	}
}

// printFigure prints the shortest decimal that reads back as the same number: rounded, a bound would not be one.
func printFigure(command *cobra.Command, asJSON bool, name string, value float64) error {
	if asJSON {
		return json.NewEncoder(command.OutOrStdout()).Encode(map[string]float64{name: value})
	}
	_, err := fmt.Fprintln(command.OutOrStdout(), value)
	return err
}

// readPlan reads [[sample rate, noise multiplier, steps], ...].
func readPlan(stdin io.Reader, path string) ([]accounting.Steps, error) {
	source := stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, refusal.New(refusal.NotFound, "give the path of a JSON file, or - for standard input", "cannot read the plan: %v", err)
		}
		defer file.Close()
		source = file
	}
	text, err := io.ReadAll(io.LimitReader(source, maxPlanFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the plan: %w", err)
	}
	return parsePlan(text)
}

func parsePlan(text []byte) ([]accounting.Steps, error) {
	const next = "write [[sample rate, noise multiplier, steps], ...]"
	if len(text) > maxPlanFileBytes {
		return nil, refusal.New(refusal.InvalidArgument, next, "the plan is longer than %d bytes", maxPlanFileBytes)
	}
	var runs [][]json.Number
	if err := json.Unmarshal(text, &runs); err != nil {
		return nil, refusal.New(refusal.InvalidArgument, next, "the plan is no such list: %v", err)
	}
	var plan []accounting.Steps
	for i, run := range runs {
		if len(run) != 3 {
			return nil, refusal.New(refusal.InvalidArgument, next, "run %d of the plan has %d figures instead of 3", i+1, len(run))
		}
		sampleRate, errRate := run[0].Float64()
		noiseMultiplier, errNoise := run[1].Float64()
		count, errCount := run[2].Float64() // 500.0 is whole too
		if errRate != nil || errNoise != nil || errCount != nil || count != math.Trunc(count) || math.Abs(count) > 1<<53 {
			return nil, refusal.New(refusal.InvalidArgument, next, "run %d of the plan, %v, is not two numbers and a whole number of steps", i+1, run)
		}
		plan = append(plan, accounting.Steps{SampleRate: sampleRate, NoiseMultiplier: noiseMultiplier, Count: int64(count)})
	}
	return plan, nil
}
