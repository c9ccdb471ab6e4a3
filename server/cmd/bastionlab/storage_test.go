package main

import (
	"strings"
	"testing"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// serveInMemory is a start of a server whose keys end with it.
func serveInMemory(t *testing.T, dir string) *node {
	t.Helper()
	s := testSettings(dir)
	s.storage = storageSetting(storage.Memory)
	return serveWith(t, s, &fakeTrainers{})
}

func closingsOf(p *person) []receipt.Body {
	p.t.Helper()
	answer, err := bastionlabv1.NewLedgerServiceClient(p.conn).ListClosings(p.ctx(), &bastionlabv1.ListClosingsRequest{})
	if err != nil {
		p.t.Fatal(err)
	}
	var bodies []receipt.Body
	for _, each := range answer.GetReceipts() {
		body, err := receipt.Decode(each.GetBody())
		if err != nil || !(receipt.Receipt{Body: each.GetBody(), Signature: each.GetSignature()}).SignedBy(each.GetKey()) {
			p.t.Errorf("%s, %v", each.GetBody(), err)
		}
		bodies = append(bodies, body)
	}
	return bodies
}

// The data of one start are gone at the next, and its owner is told what was spent, signed by the key that went with them.
func TestAStartInMemoryForgetsTheDataAndHandsOnWhatWasSpent(t *testing.T) {
	dir := t.TempDir()
	n := serveInMemory(t, dir)
	owner, scientist := n.connect(), n.connect()
	if owner.info.GetStorageLevel() != "memory" {
		t.Errorf("the level is told as %q", owner.info.GetStorageLevel())
	}
	d := owner.upload("red", 6)
	m := scientist.uploadModel(d.GetId())
	run := scientist.wait(scientist.start(request(m, d.GetId(), 2)).GetId())
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}

	again := serveInMemory(t, dir)
	returned, stranger := connect(t, again.address, owner.key), again.connect()
	closed := closingsOf(returned)
	if len(closed) != 1 || closed[0].Type != receipt.Close || closed[0].Account != d.GetId() || closed[0].After.Spent != 2e9 || closed[0].Level != "memory" {
		t.Errorf("closed %+v", closed)
	}
	if got := closingsOf(stranger); len(got) != 0 {
		t.Errorf("a stranger is told %v", got)
	}
	if string(returned.info.GetLedgerKey()) == string(owner.info.GetLedgerKey()) {
		t.Error("both starts have one ledger key")
	}
	listed, err := returned.data().ListDatasets(returned.ctx(), &bastionlabv1.ListDatasetsRequest{})
	if err != nil || len(listed.GetDatasets()) != 0 {
		t.Errorf("listed %v, %v", listed, err)
	}
	scientist = connect(t, again.address, scientist.key)
	found, err := scientist.runs().GetRun(scientist.ctx(), &bastionlabv1.GetRunRequest{Id: run.GetId()})
	if err != nil || runStatus(found) != "completed" {
		t.Errorf("its run is %v, %v", found, err)
	}

	stdout, stderr, status := runLedger(t, dir, "fsck")
	if status != 0 || !strings.Contains(stdout, "earlier start") || !strings.Contains(stdout, "it ended with that start") || strings.Count(stdout, "everything holds") != 2 {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
	if stdout, _, _ = runLedger(t, dir, "show"); strings.Contains(stdout, d.GetId()) {
		t.Errorf("the ledger of this start has\n%s", stdout)
	}
	if stdout, _, _ = runLedger(t, dir, "show", "--earlier"); !strings.Contains(stdout, "close") || !strings.Contains(stdout, run.GetId()) {
		t.Errorf("with those of earlier starts:\n%s", stdout)
	}
}

func TestNothingIsClosedWhereKeysLast(t *testing.T) {
	dir := t.TempDir()
	n := serveOn(t, dir, &fakeTrainers{})
	n.connect().upload("red", 6)
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	if stdout, _, _ := runLedger(t, dir, "show", "--earlier"); strings.Contains(stdout, "close") {
		t.Errorf("it has\n%s", stdout)
	}
}

func TestTheStorageLevelIsWhatWasSaidOrWhatTheMachineIsFor(t *testing.T) {
	none, tee := func(string) bool { return false }, func(path string) bool { return path == "/dev/tdx_guest" }
	cases := map[string]struct {
		said   string
		exists func(string) bool
		want   storage.Level
	}{
		"nothing said":             {"", none, storage.File},
		"nothing said, in a TEE":   {"", tee, storage.Memory},
		"a file, in a TEE":         {"file", tee, storage.File},
		"memory, on other machine": {"memory", none, storage.Memory},
	}
	for name, c := range cases {
		s := settings{}
		if c.said != "" {
			if err := s.storage.Set(c.said); err != nil {
				t.Fatal(err)
			}
		}
		if got := s.storageLevel(c.exists); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
	var s settings
	if err := s.storage.Set("disk"); err == nil {
		t.Error("a level that there is not was taken")
	}
}
