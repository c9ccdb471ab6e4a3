package main

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/ledger/fsck"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

func newLedgerCommand() *cobra.Command {
	return newGroup("ledger", "The budget ledger of a data directory, read from its file", newLedgerShow(), newLedgerFsck())
}

// ledgerFlags name a data directory. A server may run on it: nothing is held and nothing is changed.
type ledgerFlags struct {
	dataDir, account string
	json             bool
}

func (f *ledgerFlags) register(command *cobra.Command) {
	set := command.Flags()
	set.StringVar(&f.dataDir, "data-dir", "", "the server's data directory (default $XDG_DATA_HOME/bastionlab or ~/.local/share/bastionlab)")
	set.BoolVar(&f.json, "json", false, "print JSON")
}

// complete fills in the directory that a server has by default.
func (f *ledgerFlags) complete() (err error) {
	if f.dataDir == "" {
		f.dataDir, err = defaultDataDir(os.LookupEnv)
	}
	return err
}

func newLedgerShow() *cobra.Command {
	var flags ledgerFlags
	command := &cobra.Command{
		Use:   "show --data-dir DIR",
		Short: "Show every movement of every account",
		Args:  noArguments,
		RunE:  func(command *cobra.Command, _ []string) error { return showLedger(command, flags) },
	}
	flags.register(command)
	command.Flags().StringVar(&flags.account, "account", "", "of this account only")
	return command
}

func showLedger(command *cobra.Command, flags ledgerFlags) error {
	if err := flags.complete(); err != nil {
		return err
	}
	file, err := openLedgerFile(flags.dataDir)
	if err != nil {
		return err
	}
	defer file.Close()
	rows := [][]string{movementHeader()}
	movements := []json.RawMessage{}
	err = fsck.Read(file, func(body []byte, m receipt.Body) {
		if flags.account != "" && m.Account != flags.account {
			return
		}
		movements = append(movements, body)
		rows = append(rows, movementRow(m))
	})
	if err != nil {
		return refusal.New(refusal.Attestation, "run `bastionlab ledger fsck` for all that does not fit", "%s", err)
	}
	if flags.json {
		return json.NewEncoder(command.OutOrStdout()).Encode(movements)
	}
	return printTable(command, rows)
}

func movementHeader() []string {
	return []string{"ACCOUNT", "NO", "AT", "MOVEMENT", "RUN", "EPS", "SPENT", "LIMIT", "NOTE"}
}

func movementRow(m receipt.Body) []string {
	eps := ""
	if m.Type == receipt.Reserve {
		eps = spentText(int64(m.Epsilon), m.Infinite)
	}
	limit := "none"
	if m.After.Limit != 0 {
		limit = m.After.Limit.String()
	}
	note := m.Outcome + m.Reason
	switch {
	case m.Type == receipt.Join:
		note = fmt.Sprintf("%s joins, with %d other accounts", m.Dataset, len(m.Accounts))
	case m.Type == receipt.Limit && m.Scientist != "":
		note = fmt.Sprintf("scientist %s: %s", short(m.Scientist), m.Limit)
	}
	return []string{m.Account, fmt.Sprint(m.Seq), timeText(m.UnixMS), string(m.Type), m.Run, eps, spentText(int64(m.After.Spent), m.After.Infinite), limit, note}
}

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

func checkLedger(command *cobra.Command, flags ledgerFlags) error {
	if err := flags.complete(); err != nil {
		return err
	}
	report, err := reportOn(command.Context(), flags.dataDir)
	if err != nil {
		return err
	}
	if err := printReport(command, flags, report); err != nil {
		return err
	}
	if len(report.Findings) > 0 {
		return refusal.New(refusal.Attestation, "do not start a server on it; put the newest good copy of the data directory back",
			"the ledger does not hold: %d findings, the first in record %d: %s", len(report.Findings), report.Findings[0].Record, report.Findings[0].What)
	}
	return nil
}

// reportOn checks the file up to where it ends now. A server may write to it meanwhile: what it acknowledged before and after that end was
// known are two bounds.
func reportOn(ctx context.Context, dir string) (fsck.Report, error) {
	expected, err := expectedOf(ctx, dir)
	if err != nil {
		return fsck.Report{}, err
	}
	file, err := openLedgerFile(dir)
	if err != nil {
		return fsck.Report{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return fsck.Report{}, fmt.Errorf("look at ledger: %w", err)
	}
	after, err := expectedOf(ctx, dir)
	if err != nil {
		return fsck.Report{}, err
	}
	expected.Newest = after.Records
	return fsck.Check(io.LimitReader(file, info.Size()), expected)
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

func printReport(command *cobra.Command, flags ledgerFlags, report fsck.Report) error {
	if flags.json {
		return json.NewEncoder(command.OutOrStdout()).Encode(report)
	}
	rows := [][]string{
		{"records", fmt.Sprint(report.Records)}, {"bytes", fmt.Sprint(report.Bytes)}, {"accounts", fmt.Sprint(report.Accounts)}, {"key", report.Key},
		{"charges", fmt.Sprint(len(report.Charges))},
	}
	if report.Torn > 0 {
		rows = append(rows, []string{"torn", fmt.Sprintf("%d bytes of a record that was never whole; the next start drops them", report.Torn)})
	}
	if len(report.Charges) > 0 {
		rows = append(rows, []string{}, []string{"RUN", "CHARGED", "BY LOSS DISTRIBUTION", "BY RENYI DIVERGENCE"})
	}
	for _, c := range report.Charges {
		rows = append(rows, []string{c.Run, fmt.Sprintf("%.6g", c.Charged), fmt.Sprintf("%.6g", c.Loss), fmt.Sprintf("%.6g", c.Renyi)})
	}
	rows = append(rows, []string{})
	for _, f := range report.Findings {
		rows = append(rows, []string{"record " + fmt.Sprint(f.Record), f.Check, f.What})
	}
	if len(report.Findings) == 0 {
		rows = append(rows, []string{"everything holds"})
	}
	return printTable(command, rows)
}

func openLedgerFile(dir string) (*os.File, error) {
	file, err := os.Open(filepath.Join(dir, ledger.FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, refusal.New(refusal.NotFound, "name the directory that the server was started with, with --data-dir", "there is no ledger in %s", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	return file, nil
}
