package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// runForStatus is the script command `status N command...`: the command has to exit with N. exec alone tells only success from failure.
func runForStatus(ts *testscript.TestScript, negated bool, arguments []string) {
	if negated || len(arguments) < 2 {
		ts.Fatalf("usage: status N bastionlab argument...")
	}
	want, err := strconv.Atoi(arguments[0])
	ts.Check(err)
	if arguments[1] != "bastionlab" {
		ts.Fatalf("status runs bastionlab only")
	}
	var stdout, stderr bytes.Buffer
	got := run(context.Background(), arguments[2:], &stdout, &stderr)
	fmt.Fprint(ts.Stdout(), stdout.String())
	fmt.Fprint(ts.Stderr(), stderr.String())
	if got != want {
		ts.Fatalf("exit status %d, want %d: %s", got, want, stderr.String())
	}
}

func TestEveryKindOfRefusalHasItsOwnExitStatus(t *testing.T) {
	seen := map[int]bool{0: true}
	for kind := refusal.InvalidArgument; kind <= refusal.Unauthenticated; kind++ {
		status := exitStatus(fmt.Errorf("wrapped: %w", refusal.New(kind, "", "no")))
		if seen[status] || kind != refusal.Internal && status == 1 {
			t.Errorf("kind %d exits with %d, which is taken", kind, status)
		}
		seen[status] = true
		if !strings.Contains(exitStatusHelp(), fmt.Sprintf("\n  %2d  ", status)) {
			t.Errorf("status %d is not documented", status)
		}
	}
	if exitStatus(nil) != 0 || exitStatus(errors.New("disk on fire")) != 1 {
		t.Error("done is not 0, or an error of no kind is not 1")
	}
}

func TestReportSaysWhatWasSpentAndWhatToDo(t *testing.T) {
	refused := refusal.New(refusal.TrainingFailed, "start another run", "the run failed")
	refused.Spent = "eps 2"
	var text bytes.Buffer
	report(&text, refused)
	if want := "bastionlab: the run failed\n  spent: eps 2\n  next: start another run\n"; text.String() != want {
		t.Errorf("%q, want %q", text.String(), want)
	}
}
