package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/backup"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/version"
)

func command(arguments ...string) (stdout, stderr string, status int) {
	var out, problems bytes.Buffer
	status = runCommand(arguments, &out, &problems)
	return out.String(), problems.String(), status
}

func done(t *testing.T, arguments ...string) string {
	t.Helper()
	stdout, stderr, status := command(arguments...)
	if status != 0 {
		t.Fatalf("%v: status %d: %s", arguments, status, stderr)
	}
	return stdout
}

// wantNoStart holds that a server refuses a directory, with these words.
func wantNoStart(t *testing.T, dir string, words ...string) {
	t.Helper()
	f := &fakeTrainers{}
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Second) // of a server that does start
	defer stop()
	err := serve(ctx, testSettings(dir), io.Discard, f.start)
	for _, word := range words {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("a server on it: %v, want %q", err, word)
		}
	}
}

func (p *person) budget(dataset string) *bastionlabv1.Budget {
	p.t.Helper()
	budget, err := p.data().GetBudget(p.ctx(), &bastionlabv1.GetBudgetRequest{DatasetId: dataset})
	if err != nil {
		p.t.Fatal(err)
	}
	return budget
}

func (p *person) refusedStart(r *bastionlabv1.TrainingRequest) *refusal.Error {
	p.t.Helper()
	var trailer metadata.MD
	if _, err := p.runs().StartTraining(p.ctx(), &bastionlabv1.StartTrainingRequest{Request: r}, grpc.Trailer(&trailer)); err == nil {
		p.t.Fatal("a run was started")
	}
	return refused(trailer)
}

// PRIVACY: what was charged after a snapshot is not in it, so what it brings back gives nothing.
func TestASnapshotBringsBackEverythingButBudgets(t *testing.T) {
	f, folder := &fakeTrainers{}, t.TempDir()
	n := serveOn(t, t.TempDir(), f)
	owner, scientist := n.connect(), n.connect()
	d := owner.upload("red", 6)
	other := n.connect()
	unlimited := other.upload("blue", 0)
	m := scientist.uploadModel(d.GetId())
	first := scientist.wait(scientist.start(request(m, d.GetId(), 2)).GetId())
	arrived, letGo := f.hold()
	defer letGo()
	under := scientist.start(request(m, d.GetId(), 1))
	<-arrived
	file, restored := filepath.Join(folder, "backup"), filepath.Join(folder, "restored")
	_, warning, status := command("backup", file, "--data-dir", n.dir)
	if info, err := os.Stat(file); status != 0 || !strings.Contains(warning, "HOLDS THE KEYS") || err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("status %d: %s, %v", status, warning, err)
	}
	letGo()
	scientist.wait(under.GetId())
	scientist.wait(scientist.start(request(m, d.GetId(), 3)).GetId()) // the rest of the budget
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	if told := done(t, "restore", file, "--data-dir", restored); !strings.Contains(told, "2 accounts are frozen") {
		t.Errorf("told %s", told)
	}
	f.set(func(f *fakeTrainers) { f.train = nil })
	again := serveOn(t, restored, f)
	owner, scientist = connect(t, again.address, owner.key), connect(t, again.address, scientist.key)
	for id, whose := range map[string]*person{d.GetId(): owner, unlimited.GetId(): connect(t, again.address, other.key)} {
		if frozen := whose.budget(id).GetFrozen(); !strings.Contains(frozen, "restored from a backup") {
			t.Errorf("%s: frozen %q", id, frozen)
		}
	}
	if no := scientist.refusedStart(request(m, d.GetId(), 0.5)); no.Kind != refusal.Attestation || !strings.Contains(no.What, "restored from a backup") {
		t.Errorf("refused with %v", no)
	}
	if ended := scientist.wait(under.GetId()); ended.GetStatus() == bastionlabv1.RunStatus_RUN_STATUS_COMPLETED {
		t.Error("a run that was under way got the data again")
	}
	if content, _, err := scientist.download(first.GetId()); err != nil || len(content) == 0 {
		t.Errorf("weights of before: %d bytes, %v", len(content), err)
	}
	// The same records once more are no new budget.
	same := owner.upload("red", 6)
	if frozen := owner.budget(same.GetId()).GetFrozen(); frozen == "" {
		t.Error("uploaded anew, the records have a budget")
	}
	done(t, "ledger", "fsck", "--data-dir", restored)
	done(t, "audit", "--verify", "--data-dir", restored)
}

func TestAnyMomentOfABusyServerRestores(t *testing.T) {
	f, folder := &fakeTrainers{}, t.TempDir()
	n := serveOn(t, t.TempDir(), f)
	owner, scientist := n.connect(), n.connect()
	d := owner.upload("red", 1000)
	m := scientist.uploadModel(d.GetId())
	var writers sync.WaitGroup
	stop := make(chan struct{})
	for _, work := range []func(){
		func() { scientist.wait(scientist.start(request(m, d.GetId(), 0.01)).GetId()) },
		func() {
			uploaded := owner.upload("green", 6)
			_, _ = owner.data().DeleteDataset(owner.ctx(), &bastionlabv1.DeleteDatasetRequest{Id: uploaded.GetId()})
		},
	} {
		writers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					work()
				}
			}
		})
	}
	rounds := 4
	if os.Getenv("BASTIONLAB_ALL") != "" {
		rounds = 20
	}
	for round := range rounds {
		done(t, "backup", filepath.Join(folder, fmt.Sprint(round)), "--data-dir", n.dir)
	}
	close(stop)
	writers.Wait()
	for round := range rounds {
		restored := filepath.Join(folder, fmt.Sprint("restored", round))
		done(t, "backup", "--verify", filepath.Join(folder, fmt.Sprint(round)))
		done(t, "restore", filepath.Join(folder, fmt.Sprint(round)), "--data-dir", restored)
		done(t, "audit", "--verify", "--data-dir", restored)
		if round%3 == 0 {
			if err := serveOn(t, restored, &fakeTrainers{}).stop(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestAHandoverGoesOnElsewhereAndOnlyThere(t *testing.T) {
	f, folder := &fakeTrainers{}, t.TempDir()
	n := serveOn(t, t.TempDir(), f)
	owner, scientist := n.connect(), n.connect()
	d := owner.upload("red", 6)
	m := scientist.uploadModel(d.GetId())
	scientist.wait(scientist.start(request(m, d.GetId(), 2)).GetId())
	file := filepath.Join(folder, "backup")
	if _, stderr, status := command("backup", file, "--handover", "--data-dir", n.dir); status != 8 || !strings.Contains(stderr, "in use by another server") {
		t.Errorf("while it runs: status %d, %s", status, stderr)
	}
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	keys := filepath.Join(folder, "keys")
	if err := os.WriteFile(keys, []byte(identity.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"lost", "backup"} { // made again, where the first was lost
		done(t, "backup", filepath.Join(folder, name), "--handover", "--recipient", identity.Recipient().String(), "--data-dir", n.dir)
		wantNoStart(t, n.dir, "was handed over", "bastionlab backup --handover")
	}
	if content, err := os.ReadFile(file); err != nil || bytes.Contains(content, []byte("SECRET")) || bytes.Contains(content, []byte("ledger.log")) {
		t.Errorf("it is not encrypted, %v", err)
	}
	for _, arguments := range [][]string{{"backup", "--verify", file}, {"restore", file, "--data-dir", filepath.Join(folder, "none")}} {
		if _, stderr, status := command(arguments...); status != 2 || !strings.Contains(stderr, "--identity") {
			t.Errorf("without the key: status %d, %s", status, stderr)
		}
	}
	restored := filepath.Join(folder, "restored")
	if told := done(t, "restore", file, "--identity", keys, "--data-dir", restored); !strings.Contains(told, "all go on") {
		t.Errorf("told %s", told)
	}
	again := serveOn(t, restored, f)
	owner, scientist = connect(t, again.address, owner.key), connect(t, again.address, scientist.key)
	if budget := owner.budget(d.GetId()); budget.GetFrozen() != "" || owner.spent(d.GetId()) != 2 {
		t.Errorf("budget %v", budget)
	}
	scientist.wait(scientist.start(request(m, d.GetId(), 2)).GetId())
	// What is left behind can still be looked at, as a snapshot, whose budgets are frozen.
	done(t, "backup", filepath.Join(folder, "behind"), "--data-dir", n.dir)
	if told := done(t, "restore", filepath.Join(folder, "behind"), "--data-dir", filepath.Join(folder, "looked")); !strings.Contains(told, "1 accounts are frozen") {
		t.Errorf("told %s", told)
	}
}

// PRIVACY: a file from which everything goes on must not be there while the directory still does.
func TestADirectoryIsBarredBeforeItsHandoverHasAName(t *testing.T) {
	n := serveOn(t, t.TempDir(), &fakeTrainers{})
	n.connect().upload("red", 6)
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "backup")
	source := backup.Source{Dir: n.dir, Kind: backup.Handover, Release: version.Number, Now: func() (now time.Time) {
		if err := os.WriteFile(file, nil, 0o600); err != nil { // so that naming it fails
			t.Error(err)
		}
		return now
	}}
	if _, err := backup.Take(t.Context(), source, file); !errors.Is(err, os.ErrExist) {
		t.Fatalf("got %v", err)
	}
	wantNoStart(t, n.dir, "was handed over")
	done(t, "backup", file+"2", "--handover", "--data-dir", n.dir)
}

func TestASnapshotInMemoryBringsBackWhatARestartWould(t *testing.T) {
	dir, folder := t.TempDir(), t.TempDir()
	n := serveInMemory(t, dir)
	owner := n.connect()
	d := owner.upload("red", 6)
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	n = serveInMemory(t, dir)
	done(t, "backup", filepath.Join(folder, "backup"), "--data-dir", dir)
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	restored := filepath.Join(folder, "restored")
	if told := done(t, "restore", filepath.Join(folder, "backup"), "--data-dir", restored); !strings.Contains(told, "keys ended") {
		t.Errorf("told %s", told)
	}
	again := serveInMemory(t, restored)
	if closed := closingsOf(connect(t, again.address, owner.key)); len(closed) != 1 || closed[0].Account != d.GetId() {
		t.Errorf("closed %v", closed)
	}
}
