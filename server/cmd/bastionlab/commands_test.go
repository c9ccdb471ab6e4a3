package main

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestTheOperatorsCommands(t *testing.T) {
	f := &fakeTrainers{}
	n := serveOn(t, t.TempDir(), f)
	owner, scientist := n.connect(), n.connect()
	d := owner.upload("red", 6)
	m := scientist.uploadModel(d.GetId())
	arrived, letGo := f.hold()
	defer letGo()
	run := scientist.start(request(m, d.GetId(), 2))
	<-arrived
	command := func(arguments ...string) (stdout, stderr string, status int) {
		var out, problems bytes.Buffer
		status = runCommand(append(arguments, "--data-dir", n.dir), &out, &problems)
		return out.String(), problems.String(), status
	}
	for name, test := range map[string]struct {
		arguments []string
		words     []string
	}{
		"datasets":         {[]string{"dataset", "list"}, []string{d.GetId(), "red", "64", owner.user[:12]}},
		"datasets as JSON": {[]string{"dataset", "list", "--json"}, []string{`"id":`, d.GetId()}},
		"one dataset":      {[]string{"dataset", "show", d.GetId()}, []string{"x f32 [4]", "label i64 []", owner.user}},
		"its budget":       {[]string{"dataset", "budget", d.GetId()}, []string{run.GetId(), "running", "limit", "6", "remaining", "4"}},
		"runs":             {[]string{"run", "list"}, []string{run.GetId(), "running", scientist.user[:12]}},
		"one run":          {[]string{"run", "show", run.GetId()}, []string{"eps 2 of the limit 6"}},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, status := command(test.arguments...)
			if status != 0 {
				t.Fatalf("status %d: %s", status, stderr)
			}
			for _, word := range test.words {
				if !strings.Contains(stdout, word) {
					t.Errorf("%q is not in\n%s", word, stdout)
				}
			}
		})
	}
	if _, stderr, status := command("run", "show", "0123"); status != 7 || !strings.Contains(stderr, "no such run") {
		t.Errorf("an unknown run: status %d, %s", status, stderr)
	}
	if stdout, stderr, status := command("run", "cancel", run.GetId()); status != 0 || !strings.Contains(stdout, "cancelled") {
		t.Errorf("cancel: status %d, %s%s", status, stdout, stderr)
	}
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	if _, stderr, status := command("dataset", "list"); status != 8 || !strings.Contains(stderr, "bastionlab serve") {
		t.Errorf("without a server: status %d, %s", status, stderr)
	}
}

func runCommand(arguments []string, stdout, stderr io.Writer) int {
	return run(context.Background(), slices.Clone(arguments), stdout, stderr)
}
