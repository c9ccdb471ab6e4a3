package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bastionlab/bastionlab/server/internal/attestation"
	"github.com/bastionlab/bastionlab/server/internal/attestation/verification"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// policyWanted is what a policy says beside the measurement.
type policyWanted struct {
	file            string
	floors          []string
	chips, allow    []string
	trainer, config string
}

func (w *policyWanted) register(flags *pflag.FlagSet) {
	flags.StringVar(&w.file, "policy", "", "write a policy for clients to this file")
	flags.StringArrayVar(&w.floors, "tcb", nil, "with --policy: floor of a product's firmware, such as Milan:bl=4,tee=0,snp=24,ucode=219; may stand several times")
	flags.StringSliceVar(&w.chips, "chip-id", nil, "with --policy: the chips that are taken (default any)")
	flags.StringSliceVar(&w.allow, "allow", nil, "with --policy: what the host's launch policy may permit: smt, cxl")
	flags.StringVar(&w.trainer, "trainer", "", "with --policy: the image's program bastionlab-trainer")
	flags.StringVar(&w.config, "config", "", "with --policy: the image's configuration file")
}

func (w *policyWanted) check(command *cobra.Command) error {
	if w.file == "" {
		if len(w.floors)+len(w.chips)+len(w.allow)+len(w.trainer)+len(w.config) > 0 {
			return usageError(command, "--tcb, --chip-id, --allow, --trainer and --config say what stands in a policy: name its file with --policy")
		}
		return nil
	}
	if len(w.floors) == 0 {
		return usageError(command, "a policy needs a floor of the firmware, with --tcb: AMD's security bulletins name levels, and yours are your decision")
	}
	if w.trainer == "" {
		return usageError(command, "a policy needs the image's trainer, with --trainer: its digest is part of the configuration that clients pin")
	}
	return nil
}

// writtenPolicy is a policy in full: nothing that a reader would have to know the default of.
type writtenPolicy struct {
	Platforms      []string                      `json:"platforms"`
	Measurements   []string                      `json:"measurements"`
	TCB            map[string]verification.Floor `json:"tcb"`
	ChipIDs        []string                      `json:"chip_ids"`
	ConfigDigests  []string                      `json:"config_digests"`
	StorageLevels  []string                      `json:"storage_levels"`
	Binding        *string                       `json:"binding"`
	SigningKeys    []string                      `json:"signing_keys"`
	VMPL           int                           `json:"vmpl"`
	Allow          []string                      `json:"allow"`
	ReportVersions []int                         `json:"report_versions"`
	Development    bool                          `json:"development"`
}

// write makes the policy, reads it as a client would, says what it leaves open, and keeps it.
func (w *policyWanted) write(command *cobra.Command, shapes []shape) error {
	if w.file == "" {
		return nil
	}
	p := writtenPolicy{Platforms: []string{attestation.FormatSNP}, ChipIDs: w.chips, SigningKeys: []string{"VCEK"}, Allow: append([]string{}, w.allow...),
		ReportVersions: []int{3, 4, 5}, TCB: map[string]verification.Floor{}}
	for _, s := range shapes {
		p.Measurements = append(p.Measurements, s.Measurement)
	}
	for _, text := range w.floors {
		product, floor, err := parseFloor(text)
		if _, twice := p.TCB[product]; err != nil || twice {
			return usageError(command, "--tcb takes a product and each part's level, each product once, such as Milan:bl=4,tee=0,snp=24,ucode=219; got %q", text)
		}
		p.TCB[product] = floor
	}
	if err := w.configuration(&p); err != nil {
		return err
	}
	document, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the policy: %w", err)
	}
	read, err := verification.ParsePolicy(document)
	if err != nil {
		return wrongPolicy(err)
	}
	for _, warning := range read.Warnings() {
		fmt.Fprintf(command.ErrOrStderr(), "warning: %s\n", warning)
	}
	if err := os.WriteFile(w.file, append(document, '\n'), 0o644); err != nil {
		return refusal.New(refusal.InvalidArgument, "name a file that can be written", "the policy cannot be written: %s", err)
	}
	return nil
}

// wrongPolicy is a value of the command line that no policy takes: wrong, and no failed attestation.
func wrongPolicy(err error) error {
	var refused *refusal.Error
	if errors.As(err, &refused) && refused.Check != nil {
		return refusal.New(refusal.InvalidArgument, "see docs/attestation.md, the policy file", "no client would take this policy: expected %s, got %s", refused.Check.Expected, refused.Check.Seen)
	}
	return err
}

func parseFloor(text string) (product string, floor verification.Floor, err error) {
	product, parts, ok := strings.Cut(text, ":")
	if !ok {
		return "", nil, errors.New("no product")
	}
	floor = verification.Floor{}
	for part := range strings.SplitSeq(parts, ",") {
		name, level, _ := strings.Cut(part, "=")
		value, err := strconv.ParseUint(level, 10, 8)
		if _, twice := floor[name]; err != nil || twice {
			return "", nil, errors.New("no level")
		}
		floor[name] = byte(value)
	}
	return product, floor, nil
}

// configuration is what the image's server will claim of its settings, by the file that it is started with.
func (w *policyWanted) configuration(p *writtenPolicy) error {
	var s settings
	image := &cobra.Command{Use: "serve"}
	s.register(image.Flags())
	if w.config != "" {
		if err := fillFromFile(image, w.config); err != nil {
			return err
		}
	}
	s.trainer = w.trainer
	level := storage.Memory // what a TEE is given where nothing is said
	if s.storage != "" {
		level = storage.Level(s.storage)
	}
	digest, err := s.digest(level)
	if err != nil {
		return err
	}
	p.ConfigDigests, p.StorageLevels, p.Development = []string{hex.EncodeToString(digest[:])}, []string{string(level)}, s.development
	return nil
}

// measuredFile is the SHA-256 of a file of any size.
func measuredFile(path, what string) (digest [32]byte, err error) {
	file, err := openNamed(path, what)
	if err != nil {
		return digest, err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return digest, fmt.Errorf("read %s: %w", what, err)
	}
	return [32]byte(hash.Sum(nil)), nil
}
