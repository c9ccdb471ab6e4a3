package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// exitStatuses is the documented meaning of every exit status. Scripts rely on the numbers: never renumber.
var exitStatuses = []struct {
	status  int
	kind    refusal.Kind
	meaning string
}{
	{1, refusal.Internal, "something failed that should not; the message says what is known"},
	{2, refusal.InvalidArgument, "the command line or a value in it is wrong"},
	{3, refusal.BudgetExceeded, "the privacy limit of a dataset would be passed"},
	{4, refusal.IncompatibleModel, "the model does what cannot be trained privately"},
	{5, refusal.PermissionDenied, "this identity may not do that"},
	{6, refusal.Attestation, "what a server signed or wrote does not hold: its evidence, a receipt, a ledger"},
	{7, refusal.NotFound, "there is no such dataset, model, run or file"},
	{8, refusal.Unavailable, "the server cannot be reached or cannot serve now"},
	{9, refusal.VersionMismatch, "client and server speak different versions"},
	{10, refusal.TrainingFailed, "a run ended without weights"},
	{11, refusal.Unauthenticated, "the identity could not be proved"},
}

func exitStatus(err error) int {
	if err == nil {
		return 0
	}
	kind := refusal.KindOf(err)
	for _, entry := range exitStatuses {
		if entry.kind == kind {
			return entry.status
		}
	}
	return 1
}

func exitStatusHelp() string {
	var text strings.Builder
	text.WriteString("Exit status:\n   0  done\n")
	for _, entry := range exitStatuses {
		fmt.Fprintf(&text, "  %2d  %s\n", entry.status, entry.meaning)
	}
	return strings.TrimRight(text.String(), "\n")
}

// report prints a refusal as what was wrong, what it cost where it cost anything, and what to do next; several one after the other.
func report(stderr io.Writer, err error) {
	if several, ok := err.(interface{ Unwrap() []error }); ok && areRefusals(several.Unwrap()) {
		for _, each := range several.Unwrap() {
			report(stderr, each)
		}
		return
	}
	var refused *refusal.Error
	if !errors.As(err, &refused) {
		fmt.Fprintf(stderr, "bastionlab: %s\n", err)
		return
	}
	fmt.Fprintf(stderr, "bastionlab: %s\n", refused.What)
	if refused.Spent != "" && refused.Spent != refusal.Nothing {
		fmt.Fprintf(stderr, "  spent: %s\n", refused.Spent)
	}
	if refused.Next != "" {
		fmt.Fprintf(stderr, "  next: %s\n", refused.Next)
	}
}

// areRefusals says whether each of several errors is a refusal by itself. One that wraps a refusal and its cause is one refusal.
func areRefusals(errs []error) bool {
	for _, err := range errs {
		if !errors.As(err, new(*refusal.Error)) {
			return false
		}
	}
	return len(errs) > 0
}
