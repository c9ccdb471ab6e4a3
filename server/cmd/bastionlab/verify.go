package main

import (
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/bastionlab/bastionlab/server/internal/planning"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// maxBookBytes bounds a book of receipts: a hundred thousand of them.
const maxBookBytes = 256 << 20

func newVerifyCommand() *cobra.Command {
	return newGroup("verify", "Check what a server signed, without a server", newVerifyReceipt(), newVerifyEvidence())
}

func newVerifyReceipt() *cobra.Command {
	var key string
	var asJSON bool
	command := &cobra.Command{
		Use:   "receipt FILE [--key HEX]",
		Short: "Check a receipt, or a book of them",
		Long: `Check a receipt, or a book of them, one a line. Without --key this shows that some server signed it, with the key that is printed; with
the key that you know your server by, that yours did. "-" reads standard input.`,
		Args: oneArgument,
		RunE: func(command *cobra.Command, arguments []string) error {
			return verifyReceipt(command, arguments[0], key, asJSON)
		},
	}
	command.Flags().StringVar(&key, "key", "", "the ledger's public key, as client.info and earlier receipts have it")
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return command
}

func verifyReceipt(command *cobra.Command, path, keyText string, asJSON bool) error {
	var key ed25519.PublicKey
	if keyText != "" {
		decoded, err := hex.DecodeString(keyText)
		if err != nil || len(decoded) != ed25519.PublicKeySize {
			return usageError(command, "--key takes 64 hex digits")
		}
		key = decoded
	}
	content, err := readDocument(command, path, "receipt", maxBookBytes)
	if err != nil {
		return err
	}
	bodies, err := receipt.Verify(content, key, planning.Agrees)
	var failed *receipt.Failure
	if errors.As(err, &failed) {
		refused := refusal.New(refusal.Attestation, "do not rely on it; ask whom you have it from for another copy", "%s", failed)
		refused.Check = &refusal.Check{Name: string(failed.Check), Seen: failed.What}
		return refused
	}
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(command.OutOrStdout()).Encode(bodies)
	}
	return printTable(command, verifiedRows(content, bodies, key != nil))
}

func verifiedRows(content []byte, bodies []receipt.Body, keyKnown bool) [][]string {
	rows := [][]string{movementHeader()}
	for _, b := range bodies {
		rows = append(rows, movementRow(b))
	}
	checks := "form, signature, charge, sums"
	if keyKnown {
		checks = "form, signature, key, charge, sums"
	}
	if len(bodies) > 1 {
		checks += ", fork, chain"
	}
	rows = append(rows, []string{}, []string{"checked", checks})
	if files, err := receipt.Files(content); err == nil {
		if first, err := receipt.ParseFile(files[0]); err == nil {
			rows = append(rows, []string{"key", hex.EncodeToString(first.Key)})
		}
	}
	if bodies[0].Development {
		rows = append(rows, []string{"note", "the server ran in development mode: it took any key"})
	}
	return rows
}

// openNamed opens a file that somebody named, as what they were asked for.
func openNamed(path, what string) (*os.File, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, refusal.New(refusal.NotFound, "name the file of the "+what, "there is no file %s", path)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	return file, nil
}

// readDocument reads a file, or standard input under the name "-", up to a size.
func readDocument(command *cobra.Command, path, what string, most int64) ([]byte, error) {
	source := command.InOrStdin()
	if path != "-" {
		file, err := openNamed(path, what)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		source = file
	}
	content, err := io.ReadAll(io.LimitReader(source, most+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	if int64(len(content)) > most {
		return nil, refusal.New(refusal.InvalidArgument, "give a smaller file", "the file takes more than %d bytes", most)
	}
	return content, nil
}
