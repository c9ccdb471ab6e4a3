package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/audit"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// auditFlags are those of `bastionlab audit`, which asks a server or, with verify or renew, reads the files.
type auditFlags struct {
	remote
	dataset, head string
	verify, renew bool
}

func newAuditCommand() *cobra.Command {
	var f auditFlags
	command := &cobra.Command{
		Use:   "audit",
		Short: "Show who did what to which dataset, or check the log of it",
		Long: "Show who did what to which dataset: everything, to the operator of the server on this machine; with --connect and --identity, what concerns " +
			"the holder of that key. With --verify the log's files are checked instead, whether a server runs on them or not.",
		Args: noArguments,
	}
	command.RunE = func(command *cobra.Command, _ []string) error { return f.run(command) }
	f.register(command)
	flags := command.Flags()
	flags.StringVar(&f.dataset, "dataset", "", "only what concerns the dataset of this identifier")
	flags.StringVar(&f.connect, "connect", "", "the server, as HOST or HOST:PORT; without it, the one of this machine, as its operator")
	flags.StringVar(&f.identity, "identity", "", "with --connect: the file of the key, as the Python client keeps it")
	flags.BoolVar(&f.verify, "verify", false, "check every line of the log in --data-dir")
	flags.StringVar(&f.head, "head", "", "with --verify: LINES:HASH of an earlier check, which must still be there")
	flags.BoolVar(&f.renew, "renew", false, "put a damaged log aside and begin a new one; the server must be stopped")
	return command
}

func (f *auditFlags) run(command *cobra.Command) error {
	switch {
	case f.verify && f.renew || (f.verify || f.renew) && (f.connect != "" || f.identity != "" || f.dataset != ""):
		return usageError(command, "--verify and --renew are about the files in --data-dir, and take nothing else")
	case f.head != "" && !f.verify:
		return usageError(command, "--head is for --verify")
	case f.connect == "" && f.identity != "":
		return usageError(command, "--identity needs --connect")
	case f.verify:
		return f.check(command)
	case f.renew:
		return f.putAside(command)
	case f.connect != "":
		return f.remote.call(command, f.show(command))
	}
	return f.local.call(command, f.show(command))
}

// show prints page after page: as a table each, or as one JSON object a line.
func (f *auditFlags) show(command *cobra.Command) func(context.Context, *grpc.ClientConn, grpc.CallOption) error {
	return func(ctx context.Context, conn *grpc.ClientConn, trailer grpc.CallOption) error {
		client := bastionlabv1.NewAuditServiceClient(conn)
		rows := [][]string{{"NO", "AT", "WHO", "WHAT", "DATASET", "RUN", "ABOUT", "ALLOWED", "BOUND"}}
		for after, more := int64(0), true; more; {
			page, err := client.ListAudit(ctx, &bastionlabv1.ListAuditRequest{AfterSeq: after, DatasetId: f.dataset}, trailer)
			if err != nil {
				return err
			}
			for _, entry := range page.GetEntries() {
				after = entry.GetSeq()
				rows = append(rows, auditRow(entry))
			}
			if more = page.GetMore() && len(page.GetEntries()) > 0; f.json {
				err = printLines(command, page.GetEntries())
			} else {
				err = printTable(command, rows)
			}
			if err != nil {
				return err
			}
			rows = nil
		}
		return nil
	}
}

func auditRow(e *bastionlabv1.AuditEntry) []string {
	who, allowed := short(e.GetUser()), "yes"
	if who == "" {
		who = "-"
	}
	if !e.GetAllowed() {
		allowed = "no: " + e.GetReason()
	}
	if e.GetAction() == audit.Summary {
		allowed = e.GetReason() + ", not written one by one"
	}
	return []string{fmt.Sprint(e.GetSeq()), timeText(e.GetUnixMs()), who, plain(e.GetAction()), e.GetDatasetId(), e.GetRunId(), short(e.GetSubject()), plain(allowed), e.GetBinding()}
}

func printLines(command *cobra.Command, entries []*bastionlabv1.AuditEntry) error {
	for _, entry := range entries {
		encoded, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(entry)
		if err != nil {
			return fmt.Errorf("encode the answer: %w", err)
		}
		if _, err := fmt.Fprintln(command.OutOrStdout(), string(encoded)); err != nil {
			return err
		}
	}
	return nil
}

func (f *auditFlags) completeDir(command *cobra.Command) (err error) {
	if err := fillFromEnvironment(command, os.LookupEnv); err != nil {
		return err
	}
	if f.dataDir == "" {
		f.dataDir, err = defaultDataDir(os.LookupEnv)
	}
	return err
}

// check reads the mark before the files: a server may write to both meanwhile, and writes to the files first.
func (f *auditFlags) check(command *cobra.Command) error {
	if err := f.completeDir(command); err != nil {
		return err
	}
	lines, head, err := storage.PeekAuditMark(f.dataDir)
	if err != nil {
		return err
	}
	places := []audit.Remembered{{Lines: lines, Head: head, Whose: "the server"}}
	if f.head != "" {
		yours, err := parseHead(command, f.head)
		if err != nil {
			return err
		}
		places = append(places, yours)
	}
	report, err := audit.Check(f.dataDir, places...)
	if misfit := (*audit.IntegrityError)(nil); errors.As(err, &misfit) {
		return refusal.New(refusal.Attestation, "keep these files, and put back the newest copy of the data directory that is whole", "%s", err)
	}
	if err != nil {
		return err
	}
	report.Marked = lines
	if f.json {
		return json.NewEncoder(command.OutOrStdout()).Encode(report)
	}
	rows := [][]string{
		{"lines", fmt.Sprint(report.Lines)}, {"files", fmt.Sprint(report.Files)}, {"first", timeText(report.From)}, {"last", timeText(report.To)},
		{"marked", fmt.Sprint(report.Marked)}, {"head", fmt.Sprintf("%d:%s", report.Lines, report.Head)},
	}
	if report.Torn > 0 {
		rows = append(rows, []string{"torn", fmt.Sprintf("%d bytes of a line that is not whole: it is being written, or the next start cuts it off", report.Torn)})
	}
	return printTable(command, append(rows, []string{"everything holds"}))
}

func parseHead(command *cobra.Command, text string) (audit.Remembered, error) {
	count, digits, _ := strings.Cut(text, ":")
	lines, err := strconv.ParseInt(count, 10, 64)
	head, bad := hex.DecodeString(digits)
	if err != nil || bad != nil || lines < 1 || len(head) != 32 {
		return audit.Remembered{}, usageError(command, "--head takes LINES:HASH, as an earlier check printed it, and not %.100q", text)
	}
	return audit.Remembered{Lines: lines, Head: head, Whose: "--head"}, nil
}

// putAside is the way on after damage that nothing undoes.
func (f *auditFlags) putAside(command *cobra.Command) error {
	if err := f.completeDir(command); err != nil {
		return err
	}
	if _, _, err := storage.PeekAuditMark(f.dataDir); err != nil { // nothing is made where there is nothing
		return err
	}
	peeked, err := storage.Peek(command.Context(), f.dataDir)
	if err != nil {
		return err
	}
	store, err := storage.Open(command.Context(), f.dataDir, peeked.Level)
	if err != nil {
		return err
	}
	defer store.Close()
	where, err := audit.Renew(store.Dir(), store.AuditMark())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(command.OutOrStdout(), "the files of the log are in %s; the next one begins with an entry that says so\n", where)
	return err
}
