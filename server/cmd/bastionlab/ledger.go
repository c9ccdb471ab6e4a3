package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/ledger/fsck"
	"github.com/bastionlab/bastionlab/server/internal/planning"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

func newLedgerCommand() *cobra.Command {
	return newGroup("ledger", "The budget ledger of a data directory, read from its file", newLedgerShow(), newLedgerFsck())
}

// ledgerFlags name a data directory. A server may run on it: nothing is held and nothing is changed.
type ledgerFlags struct {
	dataDir, account string
	earlier, json    bool
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
	command.Flags().BoolVar(&flags.earlier, "earlier", false, "also of the ledgers of earlier starts, which were put aside")
	return command
}

func showLedger(command *cobra.Command, flags ledgerFlags) error {
	if err := flags.complete(); err != nil {
		return err
	}
	paths := []string{filepath.Join(flags.dataDir, ledger.FileName)}
	if flags.earlier {
		aside, err := ledger.AsideFiles(flags.dataDir)
		if err != nil {
			return err
		}
		paths = append(aside, paths...)
	}
	rows := [][]string{movementHeader()}
	movements := []json.RawMessage{}
	for _, path := range paths {
		err := readMovements(path, func(body []byte, m receipt.Body) {
			if flags.account != "" && m.Account != flags.account {
				return
			}
			movements = append(movements, body)
			rows = append(rows, movementRow(m))
		})
		if err != nil {
			return err
		}
	}
	if flags.json {
		return json.NewEncoder(command.OutOrStdout()).Encode(movements)
	}
	return printTable(command, rows)
}

func readMovements(path string, tell func(body []byte, m receipt.Body)) error {
	file, err := openLedgerFile(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := fsck.Read(file, tell); err != nil {
		return refusal.New(refusal.Attestation, "run `bastionlab ledger fsck` for all that does not fit", "%s", err)
	}
	return nil
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
	switch device := planning.DeviceOf(m.Charge); {
	case device != "":
		note = "on " + plain(device)
	case m.Type == receipt.Join:
		note = fmt.Sprintf("%s joins, with %d other accounts", m.Dataset, len(m.Accounts))
	case m.Type == receipt.Limit && m.Scientist != "":
		note = fmt.Sprintf("scientist %s: %s", short(m.Scientist), m.Limit)
	}
	return []string{m.Account, fmt.Sprint(m.Seq), timeText(m.UnixMS), string(m.Type), m.Run, eps, spentText(int64(m.After.Spent), m.After.Infinite), limit, note}
}

func openLedgerFile(path string) (*os.File, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, refusal.New(refusal.NotFound, "name the directory that the server was started with, with --data-dir", "there is no ledger in %s", filepath.Dir(path))
	}
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	return file, nil
}
