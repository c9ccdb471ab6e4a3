package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/bastionlab/bastionlab/server/internal/backup"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
	"github.com/bastionlab/bastionlab/server/internal/version"
)

func newRestoreCommand() *cobra.Command {
	var dataDir, identity string
	var asJSON bool
	command := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup back, into a new data directory",
		Long: "Put a backup back, into a new or an empty data directory. Of a snapshot every account comes back frozen: what was charged after it was taken is not known. " +
			"Of a handover everything goes on; restored twice, it is two budgets of the same records, and receipts prove it.",
		Args: oneArgument,
		RunE: func(command *cobra.Command, arguments []string) (err error) {
			if err := fillFromEnvironment(command, os.LookupEnv); err != nil {
				return err
			}
			if dataDir == "" {
				if dataDir, err = defaultDataDir(os.LookupEnv); err != nil {
					return err
				}
			}
			identities, err := readIdentities(identity)
			if err != nil {
				return err
			}
			restored, err := backup.Restore(command.Context(), arguments[0], backup.Target{
				Dir: dataDir, Identities: identities, Release: version.Number, Key: ledgerKey, Check: judgeRestored,
			})
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(command.OutOrStdout()).Encode(restored)
			}
			return printTable(command, restoredRows(restored))
		},
	}
	flags := command.Flags()
	registerDataDir(flags, &dataDir)
	flags.StringVar(&identity, "identity", "", "the file of the age key that the backup was encrypted for")
	flags.BoolVar(&asJSON, "json", false, "print JSON")
	return command
}

// judgeRestored is what `bastionlab ledger fsck` finds. A server that never had a charge may have no ledger yet.
func judgeRestored(ctx context.Context, dir string) error {
	peeked, err := storage.Peek(ctx, dir)
	if err != nil || peeked.Records == 0 {
		return err
	}
	report, err := reportOn(ctx, dir)
	if err != nil {
		return err
	}
	if len(report.Findings) > 0 {
		return refusal.New(refusal.Attestation, "look for another backup, and run `bastionlab ledger fsck` where this one was taken",
			"the ledger in the backup does not hold: %d findings, the first in record %d: %s", len(report.Findings), report.Findings[0].Record, report.Findings[0].What)
	}
	return nil
}

func restoredRows(r backup.Restored) [][]string {
	rows := append(backupRows(r.Manifest), []string{"ledger", "everything holds"})
	switch {
	case r.Level == storage.Memory:
		return append(rows, []string{"budgets", "their keys ended with the server: accounts that were closed are told to their owners, all others count as spent"})
	case r.Kind == backup.Handover:
		return append(rows, []string{"budgets", "all go on from here"})
	}
	return append(rows, []string{"budgets", fmt.Sprintf("%d accounts are frozen: what was charged after the backup was taken is not known", r.Frozen)})
}
