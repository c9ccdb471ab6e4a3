package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/audit"
)

func runAudit(t *testing.T, arguments ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, problems bytes.Buffer
	status = runCommand(append([]string{"audit"}, arguments...), &out, &problems)
	return out.String(), problems.String(), status
}

func auditOf(t *testing.T, c *person, dataset string) (actions []string) {
	t.Helper()
	page, err := bastionlabv1.NewAuditServiceClient(c.conn).ListAudit(c.ctx(), &bastionlabv1.ListAuditRequest{DatasetId: dataset})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page.GetEntries() {
		who := "stranger"
		if e.GetUser() == c.user {
			who = "me"
		} else if e.GetUser() != "" {
			who = "another"
		}
		actions = append(actions, fmt.Sprintf("%s %s %t", who, e.GetAction(), e.GetAllowed()))
	}
	return actions
}

func wantIn(t *testing.T, found []string, want string, times int) {
	t.Helper()
	n := 0
	for _, action := range found {
		if action == want {
			n++
		}
	}
	if n != times {
		t.Errorf("%q is there %d times, want %d: %v", want, n, times, found)
	}
}

// An owner finds what others did with their dataset, weights taken home included, also after it was deleted; a scientist their own calls.
func TestWhoIsToldWhat(t *testing.T) {
	n := serveOn(t, t.TempDir(), &fakeTrainers{})
	owner, scientist, third := n.connect(), n.connect(), n.connect()
	d := owner.upload("red", 6)
	m := scientist.uploadModel(d.GetId())
	run := scientist.wait(scientist.start(request(m, d.GetId(), 2)).GetId())
	stream, err := bastionlabv1.NewTrainingServiceClient(scientist.conn).DownloadWeights(scientist.ctx(), &bastionlabv1.DownloadWeightsRequest{RunId: run.GetId()})
	for err == nil {
		_, err = stream.Recv()
	}
	if stream, err = bastionlabv1.NewTrainingServiceClient(third.conn).DownloadWeights(third.ctx(), &bastionlabv1.DownloadWeightsRequest{RunId: run.GetId()}); err == nil {
		_, _ = stream.Recv()
	}
	if _, err := owner.data().DeleteDataset(owner.ctx(), &bastionlabv1.DeleteDatasetRequest{Id: d.GetId()}); err != nil {
		t.Fatal(err)
	}
	seen := auditOf(t, owner, "")
	wantIn(t, seen, "me DatasetService.UploadDataset true", 1)
	wantIn(t, seen, "another ModelService.UploadModel true", 1)
	wantIn(t, seen, "another TrainingService.StartTraining true", 1)
	wantIn(t, seen, "another TrainingService.DownloadWeights true", 1)
	wantIn(t, seen, "another TrainingService.DownloadWeights false", 1)
	wantIn(t, seen, "me DatasetService.DeleteDataset true", 1)
	wantIn(t, seen, "another SessionService.SignIn true", 0)
	wantIn(t, auditOf(t, owner, d.GetId()), "another TrainingService.DownloadWeights true", 1)

	seen = auditOf(t, scientist, "")
	wantIn(t, seen, "me TrainingService.DownloadWeights true", 1)
	for _, action := range seen {
		if !strings.HasPrefix(action, "me ") {
			t.Errorf("a scientist is told %q", action)
		}
	}
	if seen := auditOf(t, third, d.GetId()); len(seen) != 1 || seen[0] != "me TrainingService.DownloadWeights false" {
		t.Errorf("the third is told %v", seen)
	}

	key := keyFile(t, third.key, "PRIVATE KEY", 0o600)
	stdout, stderr, status := runAudit(t, "--connect", n.address, "--identity", key)
	if status != 0 || !strings.Contains(stdout, "no: ") || strings.Contains(stdout, owner.user[:12]) {
		t.Errorf("the third, at the command line: status %d, %s%s", status, stdout, stderr)
	}
	stdout, stderr, status = runAudit(t, "--data-dir", n.dir)
	for _, word := range []string{"TrainingService.DownloadWeights", "SessionService.SignIn", d.GetId(), run.GetId(), owner.user[:12], "no: "} {
		if status != 0 || !strings.Contains(stdout, word) {
			t.Errorf("status %d: %q is not in\n%s%s", status, word, stdout, stderr)
		}
	}
	stdout, _, status = runAudit(t, "--data-dir", n.dir, "--dataset", d.GetId(), "--json")
	for _, line := range strings.Split(strings.TrimSpace(stdout), "\n") {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry["dataset_id"] != d.GetId() || status != 0 {
			t.Fatalf("status %d: %v, %s", status, err, line)
		}
	}
	for _, wrong := range [][]string{{"--verify", "--dataset", "x"}, {"--identity", "x"}, {"--head", "1:00"}, {"--verify", "--renew"}, {"--verify", "--head", "none"}} {
		if _, _, status := runAudit(t, append(wrong, "--data-dir", n.dir)...); status != 2 {
			t.Errorf("%v: status %d", wrong, status)
		}
	}
}

func TestTheAuditLogIsCheckedBesideAServerAndWithoutOne(t *testing.T) {
	n := serveOn(t, t.TempDir(), &fakeTrainers{})
	owner := n.connect()
	owner.upload("PLANTED-name", 6)
	stdout, stderr, status := runAudit(t, "--verify", "--data-dir", n.dir)
	if status != 0 || !strings.Contains(stdout, "everything holds") {
		t.Errorf("beside a server: status %d, %s%s", status, stdout, stderr)
	}
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	var report audit.Report
	stdout, _, status = runAudit(t, "--verify", "--json", "--data-dir", n.dir)
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || status != 0 || report.Lines != report.Marked || report.Lines < 2 {
		t.Fatalf("without one: status %d, %v, %+v", status, err, report)
	}
	head := fmt.Sprintf("%d:%s", report.Lines, report.Head)
	if _, stderr, status := runAudit(t, "--verify", "--head", head, "--data-dir", n.dir); status != 0 {
		t.Errorf("a head that is remembered: status %d, %s", status, stderr)
	}
	path := filepath.Join(n.dir, audit.FileName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(whole, []byte("PLANTED")) {
		t.Errorf("a dataset's name is in the log:\n%s", whole)
	}
	for name, content := range map[string][]byte{
		"changed":      bytes.Replace(whole, []byte("true"), []byte("false"), 1),
		"cut":          whole[:bytes.IndexByte(whole, '\n')+1],
		"cut to torn":  whole[:len(whole)-1],
		"torn further": append(bytes.Clone(whole), "to"...),
	} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		stdout, stderr, status := runAudit(t, "--verify", "--data-dir", n.dir)
		if name == "torn further" {
			if status != 0 || !strings.Contains(stdout, "torn") {
				t.Errorf("%s: status %d, %s%s", name, status, stdout, stderr)
			}
		} else if status != 6 || !strings.Contains(stderr, "next: ") {
			t.Errorf("%s: status %d, %s", name, status, stderr)
		}
	}
	// A server does not start on it, and says what can be done; put aside, a new log begins, and says so.
	if err := os.WriteFile(path, bytes.Replace(whole, []byte("true"), []byte("false"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := serve(t.Context(), testSettings(n.dir), io.Discard, (&fakeTrainers{}).start); err == nil || !strings.Contains(err.Error(), "line 2") || !strings.Contains(err.Error(), "--renew") {
		t.Errorf("a start on a damaged log: %v", err)
	}
	if stdout, stderr, status := runAudit(t, "--renew", "--data-dir", n.dir); status != 0 || !strings.Contains(stdout, "audit-until-") {
		t.Fatalf("renew: status %d, %s%s", status, stdout, stderr)
	}
	n = serveOn(t, n.dir, &fakeTrainers{})
	if stdout, _, _ := runAudit(t, "--data-dir", n.dir); !strings.Contains(stdout, audit.Renewed) {
		t.Errorf("the new log does not say that it is one:\n%s", stdout)
	}
	if _, stderr, status := runAudit(t, "--renew", "--data-dir", n.dir); status != 8 {
		t.Errorf("renew beside a server: status %d, %s", status, stderr)
	}
}
