package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/bastionlab/bastionlab/server/internal/backup"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
	"github.com/bastionlab/bastionlab/server/internal/version"
)

type backupFlags struct {
	dataDir, identity        string
	recipients               []string
	handover, verify, asJSON bool
}

func newBackupCommand() *cobra.Command {
	var f backupFlags
	command := &cobra.Command{
		Use:   "backup FILE",
		Short: "Put the whole data directory into one file, or check such a file",
		Long: "Put the whole data directory into one new file. A server may run on it meanwhile: then it is a snapshot, and what a restore brings back is everything but budgets, " +
			"whose accounts are frozen. With --handover the server must be stopped, its directory never starts again, and everything goes on where the file is restored.\n\n" +
			"With --verify the file is read and held to its own manifest.",
		Args: oneArgument,
		RunE: func(command *cobra.Command, arguments []string) error {
			if err := fillFromEnvironment(command, os.LookupEnv); err != nil {
				return err
			}
			if f.verify {
				return f.check(command, arguments[0])
			}
			return f.take(command, arguments[0])
		},
	}
	flags := command.Flags()
	registerDataDir(flags, &f.dataDir)
	flags.BoolVar(&f.handover, "handover", false, "take it of a stopped server, to go on elsewhere with all budgets; the directory never starts again")
	flags.StringSliceVar(&f.recipients, "recipient", nil, "encrypt it for this age key (age1...); several with commas between them")
	flags.BoolVar(&f.verify, "verify", false, "check a backup instead")
	flags.StringVar(&f.identity, "identity", "", "with --verify: the file of the age key that it was encrypted for")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
	return command
}

func (f *backupFlags) take(command *cobra.Command, path string) (err error) {
	if f.identity != "" {
		return usageError(command, "--identity is for --verify: to encrypt, name the public key with --recipient")
	}
	if f.dataDir == "" {
		if f.dataDir, err = defaultDataDir(os.LookupEnv); err != nil {
			return err
		}
	}
	source := backup.Source{Dir: f.dataDir, Kind: backup.Snapshot, Release: version.Number, Now: time.Now}
	if f.handover {
		source.Kind = backup.Handover
	}
	for _, text := range f.recipients {
		recipients, err := age.ParseRecipients(strings.NewReader(text))
		if err != nil {
			return usageError(command, "--recipient takes the public key of age, age1..., and not %.100q", text)
		}
		source.Recipients = append(source.Recipients, recipients...)
	}
	m, err := backup.Take(command.Context(), source, path)
	if err != nil {
		return err
	}
	if len(source.Recipients) == 0 && m.Level == storage.File {
		fmt.Fprintf(command.ErrOrStderr(), "%s HOLDS THE KEYS of everything that is in it: whoever reads it reads the data. Keep it like the server itself, or take it with --recipient.\n", path)
	}
	return f.print(command, m)
}

func (f *backupFlags) check(command *cobra.Command, path string) error {
	if f.handover || len(f.recipients) > 0 {
		return usageError(command, "--verify reads a backup, and takes --identity only")
	}
	identities, err := readIdentities(f.identity)
	if err != nil {
		return err
	}
	m, err := backup.Verify(path, identities...)
	if err != nil {
		return err
	}
	return f.print(command, m)
}

func readIdentities(path string) ([]age.Identity, error) {
	if path == "" {
		return nil, nil
	}
	content, err := storage.ReadKeyFile(path)
	if err != nil {
		return nil, withFix(err, "name the file of the age key, which begins AGE-SECRET-KEY-")
	}
	identities, err := age.ParseIdentities(strings.NewReader(string(content)))
	if err != nil {
		// SECURITY: the parser's error could quote the file, and so the key.
		return nil, refusal.New(refusal.InvalidArgument, "name the file of the age key, which begins AGE-SECRET-KEY-", "%s holds no key of age", path)
	}
	return identities, nil
}

func (f *backupFlags) print(command *cobra.Command, m backup.Manifest) error {
	if f.asJSON {
		return json.NewEncoder(command.OutOrStdout()).Encode(m)
	}
	return printTable(command, backupRows(m))
}

func backupRows(m backup.Manifest) [][]string {
	var bytes int64
	for _, file := range m.Files {
		bytes += file.Bytes
	}
	rows := [][]string{
		{"kind", string(m.Kind)}, {"taken", timeText(m.UnixMS)}, {"release", m.Release}, {"storage", string(m.Level)},
		{"files", fmt.Sprint(len(m.Files))}, {"bytes", fmt.Sprint(bytes)}, {"ledger records", fmt.Sprint(m.Records)},
	}
	if len(m.Gone) > 0 {
		rows = append(rows, []string{"removed meanwhile", fmt.Sprintf("%d encrypted files that the server removed while they were copied", len(m.Gone))})
	}
	return rows
}
