package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/bastionlab/bastionlab/server/internal/attestation"
	"github.com/bastionlab/bastionlab/server/internal/attestation/verification"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

func newVerifyEvidence() *cobra.Command {
	var policy string
	var asJSON bool
	command := &cobra.Command{
		Use:   "evidence FILE [--policy FILE]",
		Short: "Check the evidence that a client saved",
		Long: `Check the evidence that a client saved, offline, against a policy. Every check is printed, with what it saw. Without --policy this shows what a
policy would have to pin, and refuses: genuine hardware signs whatever runs on it. "-" reads standard input.`,
		Args: oneArgument,
		RunE: func(command *cobra.Command, arguments []string) error {
			return verifyEvidence(command, arguments[0], policy, asJSON)
		},
	}
	command.Flags().StringVar(&policy, "policy", "", "the policy's file")
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return command
}

func verifyEvidence(command *cobra.Command, path, policyPath string, asJSON bool) error {
	content, err := readDocument(command, path, "evidence", verification.MaxFileBytes)
	if err != nil {
		return err
	}
	file, err := verification.ParseFile(content)
	if err != nil {
		return err
	}
	var policy, proposed []byte
	if policyPath != "" {
		policy, err = readDocument(command, policyPath, "policy", verification.MaxFileBytes)
	} else {
		proposed, err = verification.Propose(file.Evidence)
		policy = proposed
	}
	if err != nil {
		return err
	}
	parsed, err := verification.ParsePolicy(policy)
	if err != nil {
		return err
	}
	found, err := verification.Verify(file.Evidence, file.Nonce, file.Channel, parsed, time.Now(), verification.AMDRoots())
	if err == nil && proposed != nil {
		err = unjudged(found.Platform)
	}
	finding := evidenceFinding{found, refusedCheck(err), proposed, parsed.Warnings()}
	if failed := finding.print(command, asJSON); failed != nil {
		return failed
	}
	return err
}

// unjudged is what evidence proves that no policy was held against.
func unjudged(platform string) error {
	proved := "genuine hardware signed it, and for this caller"
	if platform == attestation.FormatSimulated {
		proved = "a simulator signed it, which anybody has"
	}
	refused := refusal.New(refusal.Attestation, "write what was seen into a policy once you know by another way that it is right, and give that with --policy",
		"without a policy this proves only that %s: no measurement is accepted", proved)
	refused.Check = &refusal.Check{Name: "policy", Expected: "a policy", Seen: "none"}
	return refused
}

func refusedCheck(err error) *refusal.Check {
	var refused *refusal.Error
	if !errors.As(err, &refused) {
		return nil
	}
	return refused.Check
}

// evidenceFinding is what there is to say of a file of evidence.
type evidenceFinding struct {
	found    verification.Attested
	refused  *refusal.Check
	proposed []byte // where there was no policy
	warnings []string
}

func (f evidenceFinding) print(command *cobra.Command, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(command.OutOrStdout())
		encoder.SetEscapeHTML(false)
		return encoder.Encode(f.members())
	}
	if err := printTable(command, f.rows()); err != nil || f.proposed == nil {
		return err
	}
	_, err := fmt.Fprintf(command.OutOrStdout(), "\na policy that takes this evidence and nothing else:\n%s\n", f.proposed)
	return err
}

// withoutPolicy are the checks that mean something by themselves; what the others saw is nothing but seen where there is no policy.
var withoutPolicy = []string{"format", "product", "chain", "signature", "vcek", "collateral", "tdx_status", "debug", "migrate", "binding"}

func (f evidenceFinding) rows() [][]string {
	rows := [][]string{{"CHECK", "", "SEEN"}}
	for _, check := range f.found.Checks {
		verdict := "ok"
		if f.proposed != nil && !slices.Contains(withoutPolicy, check.Name) {
			verdict = "seen"
		}
		rows = append(rows, []string{check.Name, verdict, plain(check.Seen)})
	}
	if f.refused != nil {
		rows = append(rows, []string{f.refused.Name, "FAILED", plain(f.refused.Seen)}, []string{"", "", plain("expected " + f.refused.Expected)})
	}
	rows = append(rows, []string{}, []string{"platform", "", plain(f.found.Platform)})
	if claims := f.found.Claims; claims != nil {
		rows = append(rows, []string{"measurement", "", f.found.Measurement}, []string{"chip", "", f.found.ChipID},
			[]string{"ledger key", "", hex.EncodeToString(claims.GetLedgerKey())}, []string{"boot", "", plain(claims.GetBootId())})
	}
	for _, warning := range f.warnings {
		rows = append(rows, []string{"warning", "", warning})
	}
	return rows
}

func (f evidenceFinding) members() map[string]any {
	members := map[string]any{
		"platform": f.found.Platform, "measurement": f.found.Measurement, "chip_id": f.found.ChipID, "checks": f.found.Checks, "warnings": f.warnings,
		"proposed_policy": json.RawMessage(f.proposed), "refused": nil,
	}
	if f.proposed == nil {
		members["proposed_policy"] = nil
	}
	if f.refused != nil {
		members["refused"] = map[string]string{"check": f.refused.Name, "expected": f.refused.Expected, "seen": f.refused.Seen}
	}
	if claims := f.found.Claims; claims != nil {
		members["claims"] = map[string]any{"version": claims.GetVersion(), "boot_id": claims.GetBootId(), "ledger_key": hex.EncodeToString(claims.GetLedgerKey()),
			"config_digest": hex.EncodeToString(claims.GetConfigDigest()), "storage_level": claims.GetStorageLevel(), "development": claims.GetDevelopment()}
	}
	return members
}
