package main

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/ledger/fsck"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

func newLedgerFsck() *cobra.Command {
	var flags ledgerFlags
	command := &cobra.Command{
		Use:   "fsck --data-dir DIR",
		Short: "Check the ledger from its raw file: chain, signatures, sums, and every charge by both accountants",
		Args:  noArguments,
		RunE:  func(command *cobra.Command, _ []string) error { return checkLedger(command, flags) },
	}
	flags.register(command)
	return command
}

// directoryReport is on the ledger of a directory, and on those of earlier starts that were put aside, each by itself.
type directoryReport struct {
	fsck.Report
	// KeyUnchecked: the key is the one that the file names, and nothing in the directory says whether that is right.
	KeyUnchecked bool            `json:"key_unchecked,omitempty"`
	Earlier      []earlierReport `json:"earlier,omitempty"`
}

type earlierReport struct {
	File string `json:"file"`
	fsck.Report
}

func checkLedger(command *cobra.Command, flags ledgerFlags) error {
	if err := flags.complete(); err != nil {
		return err
	}
	report, err := reportOn(command.Context(), flags.dataDir)
	if err != nil {
		return err
	}
	if report.Earlier, err = reportOnEarlier(flags.dataDir); err != nil {
		return err
	}
	if flags.json {
		err = json.NewEncoder(command.OutOrStdout()).Encode(report)
	} else {
		err = printTable(command, reportRows(report))
	}
	if err != nil {
		return err
	}
	if len(report.Findings) > 0 {
		return refusal.New(refusal.Attestation, "do not start a server on it; put the newest good copy of the data directory back",
			"the ledger does not hold: %d findings, the first in record %d: %s", len(report.Findings), report.Findings[0].Record, report.Findings[0].What)
	}
	for _, each := range report.Earlier {
		if len(each.Findings) > 0 {
			return refusal.New(refusal.Attestation, "put a good copy of that file back, if there is one: what owners hold of it stays good",
				"the ledger of an earlier start, %s, does not hold: %d findings, the first in record %d: %s", each.File, len(each.Findings), each.Findings[0].Record, each.Findings[0].What)
		}
	}
	return nil
}

// reportOn checks the file up to where it ends now. A server may write to it meanwhile: what it acknowledged before and after that end was
// known are two bounds.
func reportOn(ctx context.Context, dir string) (directoryReport, error) {
	expected, err := expectedOf(ctx, dir)
	if err != nil {
		return directoryReport{}, err
	}
	file, err := openLedgerFile(filepath.Join(dir, ledger.FileName))
	if err != nil {
		return directoryReport{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return directoryReport{}, fmt.Errorf("look at ledger: %w", err)
	}
	after, err := expectedOf(ctx, dir)
	if err != nil {
		return directoryReport{}, err
	}
	expected.Newest = after.Records
	report, err := fsck.Check(io.LimitReader(file, info.Size()), expected)
	return directoryReport{Report: report, KeyUnchecked: expected.Key == nil}, err
}

// reportOnEarlier checks what was put aside. The keys are gone with the starts that had them: each file is held to the one that it names.
func reportOnEarlier(dir string) (reports []earlierReport, err error) {
	paths, err := ledger.AsideFiles(dir)
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		file, err := openLedgerFile(path)
		if err != nil {
			return nil, err
		}
		report, err := fsck.Check(file, fsck.Expected{Aside: true})
		file.Close()
		if err != nil {
			return nil, err
		}
		reports = append(reports, earlierReport{filepath.Base(path), report})
	}
	return reports, nil
}

func expectedOf(ctx context.Context, dir string) (fsck.Expected, error) {
	peeked, err := storage.Peek(ctx, dir)
	if err != nil {
		return fsck.Expected{}, err
	}
	expected := fsck.Expected{Marked: true, Records: peeked.Records, Bytes: peeked.Bytes, Chain: peeked.Chain}
	if peeked.Keys != nil {
		key := ledgerKey(peeked.Keys)
		_, genuine := ledger.Unseal(key, peeked.Records, peeked.Bytes, peeked.Chain)
		expected.Key, expected.Forged = key.Public().(ed25519.PublicKey), peeked.Records > 0 && !genuine
	}
	return expected, nil
}

func reportRows(report directoryReport) [][]string {
	rows := figures(report.Report)
	if report.KeyUnchecked {
		rows = append(rows, []string{"note", "the key is the one that the file names: there is none in the directory that it could be held against"})
	}
	if len(report.Charges) > 0 {
		rows = append(rows, []string{}, []string{"RUN", "CHARGED", "BY LOSS DISTRIBUTION", "BY RENYI DIVERGENCE"})
	}
	for _, c := range report.Charges {
		rows = append(rows, []string{c.Run, fmt.Sprintf("%.6g", c.Charged), fmt.Sprintf("%.6g", c.Loss), fmt.Sprintf("%.6g", c.Renyi)})
	}
	rows = append(append(rows, []string{}), findings(report.Findings)...)
	for _, each := range report.Earlier {
		rows = append(rows, []string{}, []string{"earlier start", each.File})
		rows = append(append(rows, figures(each.Report)...), []string{"note", "the key is the one that the file names: it ended with that start"})
		rows = append(rows, findings(each.Findings)...)
	}
	return rows
}

func figures(report fsck.Report) [][]string {
	rows := [][]string{
		{"records", fmt.Sprint(report.Records)}, {"bytes", fmt.Sprint(report.Bytes)}, {"accounts", fmt.Sprint(report.Accounts)}, {"key", report.Key},
		{"charges", fmt.Sprint(len(report.Charges))},
	}
	if report.Torn > 0 {
		rows = append(rows, []string{"torn", fmt.Sprintf("%d bytes of a record that was never whole; the next start drops them", report.Torn)})
	}
	return rows
}

func findings(found []fsck.Finding) [][]string {
	if len(found) == 0 {
		return [][]string{{"everything holds"}}
	}
	var rows [][]string
	for _, f := range found {
		rows = append(rows, []string{"record " + fmt.Sprint(f.Record), f.Check, f.What})
	}
	return rows
}
