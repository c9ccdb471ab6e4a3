// Command bastionlab is the server and its command line.
//
// Results go to stdout, everything said about them to stderr. The exit status tells the kind of a refusal (see exitStatuses), so that a
// script can tell a spent budget from a typing error without reading text.
//
// Non-goals: nothing is decided here. A command reads its flags, calls one package and prints what that package returns.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/version"
)

func main() {
	// The signals end a context instead of the process, so that a command that holds something durable can stop in order.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process, whatever it is at
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// run executes one command line and returns its exit status.
func run(ctx context.Context, arguments []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(arguments)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err != nil {
		report(stderr, err)
	}
	return exitStatus(err)
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "bastionlab",
		Short:         "Train on data that nobody may see, within a differential-privacy budget",
		Long:          "BastionLab trains PyTorch models on data that nobody may see, within a differential-privacy budget.\n\n" + exitStatusHelp(),
		SilenceErrors: true, // report prints them, once and in one form
		SilenceUsage:  true, // a refusal says what to do next; a page of flags would bury it
		Version:       version.Number,
		Args:          cobra.ArbitraryArgs, // refuseUnknownCommand judges them
		RunE:          refuseUnknownCommand,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(command *cobra.Command, err error) error { return usageError(command, "%s", err) })
	// One line per command.
	root.AddCommand(newServeCommand())
	root.AddCommand(newDatasetCommand())
	root.AddCommand(newRunCommand())
	root.AddCommand(newUserCommand())
	root.AddCommand(newLedgerCommand())
	root.AddCommand(newBackupCommand())
	root.AddCommand(newRestoreCommand())
	root.AddCommand(newVerifyCommand())
	root.AddCommand(newAuditCommand())
	root.AddCommand(newMeasureCommand())
	root.AddCommand(newDoctorCommand())
	root.AddCommand(newHealthCommand())
	root.AddCommand(newPrivacyCommand())
	root.AddCommand(newVersionCommand())
	return root
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(command.OutOrStdout(), version.Number)
			return err
		},
	}
}

// newGroup makes a command that only groups others.
func newGroup(name, short string, commands ...*cobra.Command) *cobra.Command {
	group := &cobra.Command{Use: name, Short: short, Args: cobra.ArbitraryArgs, RunE: refuseUnknownCommand}
	group.AddCommand(commands...)
	return group
}

// refuseUnknownCommand is what a command that only groups others does when it is called itself: without an argument it explains itself.
// An unknown command is a wrong command line, with its exit status; cobra on its own would report it like a failure of the program.
func refuseUnknownCommand(command *cobra.Command, arguments []string) error {
	if len(arguments) == 0 {
		return command.Help()
	}
	return usageError(command, "there is no command %q under %q", arguments[0], command.CommandPath())
}

// noArguments refuses positional arguments; unlike cobra.NoArgs it does so with the exit status of a wrong command line.
func noArguments(command *cobra.Command, arguments []string) error {
	if len(arguments) > 0 {
		return usageError(command, "%q takes no argument, got %q", command.CommandPath(), arguments[0])
	}
	return nil
}

func usageError(command *cobra.Command, format string, args ...any) error {
	return refusal.New(refusal.InvalidArgument, fmt.Sprintf("see %q", command.CommandPath()+" --help"), format, args...)
}
