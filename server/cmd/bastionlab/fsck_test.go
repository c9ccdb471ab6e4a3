package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/ledger/fsck"
)

func runLedger(t *testing.T, dir string, arguments ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, problems bytes.Buffer
	status = runCommand(append(append([]string{"ledger"}, arguments...), "--data-dir", dir), &out, &problems)
	return out.String(), problems.String(), status
}

func TestTheLedgerIsShownAndCheckedBesideAServer(t *testing.T) {
	n := serveOn(t, t.TempDir(), &fakeTrainers{})
	owner, scientist := n.connect(), n.connect()
	d := owner.upload("red", 6)
	m := scientist.uploadModel(d.GetId())
	run := scientist.wait(scientist.start(request(m, d.GetId(), 2)).GetId())

	stdout, stderr, status := runLedger(t, n.dir, "fsck")
	if status != 0 || !strings.Contains(stdout, "everything holds") || !strings.Contains(stdout, run.GetId()) {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
	stdout, stderr, status = runLedger(t, n.dir, "fsck", "--json")
	var report fsck.Report
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || status != 0 || len(report.Charges) != 1 || report.Charges[0].Charged != 2 || report.Records != 5 {
		t.Errorf("status %d: %+v, %v%s", status, report, err, stderr)
	}
	stdout, stderr, status = runLedger(t, n.dir, "show")
	for _, word := range []string{d.GetId(), run.GetId(), "open", "reserve", "data", "settle", "completed", "6"} {
		if status != 0 || !strings.Contains(stdout, word) {
			t.Errorf("status %d: %q is not in\n%s%s", status, word, stdout, stderr)
		}
	}
	stdout, _, status = runLedger(t, n.dir, "show", "--json", "--account", "nobody's")
	if status != 0 || strings.TrimSpace(stdout) != "[]" {
		t.Errorf("status %d: %s", status, stdout)
	}
}

// A server that writes while it is checked makes no findings.
func TestABusyLedgerHasNoFindings(t *testing.T) {
	n := serveOn(t, t.TempDir(), &fakeTrainers{})
	owner := n.connect()
	d := owner.upload("red", 6)
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for limit := 5.9; ; limit -= 1e-6 {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := owner.data().LowerLimit(owner.ctx(), &bastionlabv1.LowerLimitRequest{DatasetId: d.GetId(), PrivacyLimit: limit}); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 30 {
		if stdout, stderr, status := runLedger(t, n.dir, "fsck"); status != 0 {
			t.Errorf("status %d: %s%s", status, stdout, stderr)
		}
	}
	close(stop)
	writer.Wait()
}

func TestALedgerThatDoesNotHoldIsSaidSo(t *testing.T) {
	n := serveOn(t, t.TempDir(), &fakeTrainers{})
	n.connect().upload("red", 6)
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(n.dir, ledger.FileName)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(content []byte) {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(append(bytes.Clone(good), "torn"...))
	if stdout, _, status := runLedger(t, n.dir, "fsck"); status != 0 || !strings.Contains(stdout, "4 bytes of a record that was never whole") {
		t.Errorf("torn: status %d, %s", status, stdout)
	}
	changed := bytes.Replace(good, []byte(`"limit":6000000000`), []byte(`"limit":7000000000`), 1)
	write(changed)
	for _, command := range []string{"fsck", "show"} {
		if _, stderr, status := runLedger(t, n.dir, command); status != 6 || !strings.Contains(stderr, "its checksum does not fit") || !strings.Contains(stderr, "next: ") {
			t.Errorf("changed, %s: status %d, %s", command, status, stderr)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"no ledger": n.dir, "no data directory": t.TempDir()} {
		if _, stderr, status := runLedger(t, dir, "fsck"); status != 7 || !strings.Contains(stderr, "--data-dir") {
			t.Errorf("%s: status %d, %s", name, status, stderr)
		}
	}
}
