package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/ledger/fsck"
	"github.com/bastionlab/bastionlab/server/internal/planning"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

func (p *person) ledger() bastionlabv1.LedgerServiceClient {
	return bastionlabv1.NewLedgerServiceClient(p.conn)
}

// receipts are all that the owner of a dataset gets.
func (p *person) receipts(dataset string) []*bastionlabv1.Receipt {
	p.t.Helper()
	answer, err := p.ledger().ListReceipts(p.ctx(), &bastionlabv1.ListReceiptsRequest{Of: &bastionlabv1.ListReceiptsRequest_DatasetId{DatasetId: dataset}})
	if err != nil || answer.GetMore() {
		p.t.Fatalf("%v, %v", answer, err)
	}
	return answer.GetReceipts()
}

func (p *person) present(receipts ...*bastionlabv1.Receipt) []*bastionlabv1.Standing {
	p.t.Helper()
	answer, err := p.ledger().PresentReceipts(p.ctx(), &bastionlabv1.PresentReceiptsRequest{Receipts: receipts})
	if err != nil {
		p.t.Fatal(err)
	}
	return answer.GetStandings()
}

// book is a file of receipts, as a client keeps it.
func book(t *testing.T, receipts []*bastionlabv1.Receipt) []byte {
	t.Helper()
	var lines [][]byte
	for _, r := range receipts {
		line, err := receipt.Receipt{Body: r.GetBody(), Signature: r.GetSignature(), Key: r.GetKey()}.File()
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	return bytes.Join(lines, []byte("\n"))
}

func TestWhatAServerWritesIsVerifiedAndChecked(t *testing.T) {
	f := &fakeTrainers{}
	n := serveOn(t, t.TempDir(), f)
	owner, scientist := n.connect(), n.connect()
	d := owner.upload("d", 6)
	m := scientist.uploadModel(d.GetId())
	done := scientist.wait(scientist.start(request(m, d.GetId(), 1)).GetId())
	arrived, letGo := f.hold()
	running := scientist.start(request(m, d.GetId(), 2))
	<-arrived
	if _, err := scientist.runs().CancelRun(scientist.ctx(), &bastionlabv1.CancelRunRequest{Id: running.GetId()}); err != nil {
		t.Fatal(err)
	}
	scientist.wait(running.GetId())
	letGo()
	if _, err := owner.data().LowerLimit(owner.ctx(), &bastionlabv1.LowerLimitRequest{DatasetId: d.GetId(), PrivacyLimit: 5}); err != nil {
		t.Fatal(err)
	}

	// Every receipt passes the checks that the documentation has, under the key that the server names.
	all := owner.receipts(d.GetId())
	key := owner.info.GetLedgerKey()
	bodies, err := receipt.Verify(book(t, all), key, planning.Agrees)
	if err != nil {
		t.Fatal(err)
	}
	var types []receipt.Type
	for _, b := range bodies {
		types = append(types, b.Type)
		if b.Boot != owner.info.GetBootId() || !b.Development || b.Level != "file" {
			t.Errorf("written by %+v", b.Origin)
		}
	}
	if want := []receipt.Type{"open", "reserve", "data", "settle", "reserve", "data", "settle", "limit"}; !slices.Equal(types, want) {
		t.Errorf("receipts %v, want %v", types, want)
	}
	for _, who := range []*person{owner, scientist} {
		ofRun, err := who.ledger().ListReceipts(who.ctx(), &bastionlabv1.ListReceiptsRequest{Of: &bastionlabv1.ListReceiptsRequest_RunId{RunId: done.GetId()}})
		if err != nil || len(ofRun.GetReceipts()) != 3 {
			t.Errorf("of a run: %v, %v", ofRun, err)
		}
	}
	var trailer metadata.MD
	_, err = scientist.ledger().ListReceipts(scientist.ctx(), &bastionlabv1.ListReceiptsRequest{Of: &bastionlabv1.ListReceiptsRequest_DatasetId{DatasetId: d.GetId()}}, grpc.Trailer(&trailer))
	if got := refused(trailer); err == nil || got == nil || got.Kind != refusal.PermissionDenied {
		t.Errorf("a scientist reads the owner's receipts: %v, %v", err, got)
	}

	// The commands say the same, while the server runs and after it.
	for _, state := range []string{"running", "stopped"} {
		if state == "stopped" {
			if err := n.stop(); err != nil {
				t.Fatal(err)
			}
		}
		var out, problems bytes.Buffer
		if status := runCommand([]string{"ledger", "fsck", "--data-dir", n.dir, "--json"}, &out, &problems); status != 0 {
			t.Fatalf("%s: status %d: %s%s", state, status, out.String(), problems.String())
		}
		var report fsck.Report
		if err := json.Unmarshal(out.Bytes(), &report); err != nil || report.Records != 9 || len(report.Charges) != 2 || report.Key != hex.EncodeToString(key) {
			t.Errorf("%s: %+v, %v", state, report, err)
		}
		for _, c := range report.Charges {
			if float64(c.Loss) > c.Charged || c.Renyi < c.Loss {
				t.Errorf("%s: %+v", state, c)
			}
		}
		out.Reset()
		if status := runCommand([]string{"ledger", "show", "--data-dir", n.dir}, &out, &problems); status != 0 || strings.Count(out.String(), "\n") != 9 || !strings.Contains(out.String(), "cancelled") {
			t.Errorf("%s: status %d: %s%s", state, status, out.String(), problems.String())
		}
	}
	file := filepath.Join(t.TempDir(), "book.jsonl")
	if err := os.WriteFile(file, book(t, all), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		arguments []string
		status    int
		words     string
	}{
		"any key":      {[]string{file}, 0, "form, signature, charge, sums, fork, chain"},
		"its key":      {[]string{file, "--key", hex.EncodeToString(key)}, 0, "the server ran in development mode"},
		"as JSON":      {[]string{file, "--json"}, 0, `"type":"reserve"`},
		"another key":  {[]string{file, "--key", strings.Repeat("00", ed25519.PublicKeySize)}, 6, `the check "key"`},
		"no key":       {[]string{file, "--key", "0"}, 2, "64 hex digits"},
		"no such file": {[]string{file + "x"}, 7, "there is no file"},
	} {
		var out, problems bytes.Buffer
		status := runCommand(append([]string{"verify", "receipt"}, c.arguments...), &out, &problems)
		if said := out.String() + problems.String(); status != c.status || !strings.Contains(said, c.words) {
			t.Errorf("%s: status %d: %s", name, status, said)
		}
	}
}

// Yesterday's copy of the data directory is put back under the server. The next client with a receipt of today proves it.
func TestADataDirectoryThatWasPutBackIsNoticed(t *testing.T) {
	f, dir := &fakeTrainers{}, t.TempDir()
	ownerKey, scientistKey := newKey(t), newKey(t)
	n := serveOn(t, dir, f)
	owner, scientist := connect(t, n.address, ownerKey), connect(t, n.address, scientistKey)
	d := owner.upload("d", 6)
	m := scientist.uploadModel(d.GetId())
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "operator.sock")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	yesterday := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(yesterday, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	n = serveOn(t, dir, f)
	owner, scientist = connect(t, n.address, ownerKey), connect(t, n.address, scientistKey)
	scientist.wait(scientist.start(request(m, d.GetId(), 4)).GetId())
	today := owner.receipts(d.GetId())
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	tighten(t, yesterday)
	n = serveOn(t, yesterday, f)
	owner, scientist = connect(t, n.address, ownerKey), connect(t, n.address, scientistKey)
	if charged := owner.charged(d.GetId()); charged != 0 {
		t.Fatalf("charged %v: this is no copy of yesterday", charged)
	}
	for _, s := range scientist.present(today[0], today[len(today)-1]) {
		if s.GetNewestSeq() != 1 {
			t.Errorf("standing %v", s)
		}
	}
	if standing := owner.present(today[0], today[len(today)-1]); standing[0].GetState() != bastionlabv1.Standing_STATE_KNOWN || standing[1].GetState() != bastionlabv1.Standing_STATE_FORGOTTEN {
		t.Errorf("standings %v", standing)
	}
	if !strings.Contains(n.log.String(), "older copy of the data directory") {
		t.Errorf("the operator is not told:\n%s", n.log)
	}
	var trailer metadata.MD
	_, err := scientist.runs().StartTraining(scientist.ctx(), &bastionlabv1.StartTrainingRequest{Request: request(m, d.GetId(), 1)}, grpc.Trailer(&trailer))
	if got := refused(trailer); err == nil || got == nil || got.Kind != refusal.Attestation || got.Check == nil || got.Check.Name != "ledger" {
		t.Errorf("a run on a frozen account: %v, %v", err, got)
	}
	budget, err := owner.data().GetBudget(owner.ctx(), &bastionlabv1.GetBudgetRequest{DatasetId: d.GetId()})
	if err != nil || !strings.Contains(budget.GetFrozen(), "older copy") || budget.GetRemainingNano() != 0 {
		t.Errorf("the owner is told %v, %v", budget, err)
	}
}

// tighten gives a copied directory the modes that the server asks for.
func tighten(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return os.Chmod(path, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheOwnerLowersLimitsOnTheCommandLine(t *testing.T) {
	n := serveOn(t, t.TempDir(), &fakeTrainers{})
	owner, scientist := n.connect(), n.connect()
	d := owner.upload("d", 6)
	key := keyFile(t, owner.key, "PRIVATE KEY", 0o600)
	limit := func(arguments ...string) (string, int) {
		var out, problems bytes.Buffer
		status := runCommand(append(append([]string{"dataset", "limit"}, arguments...), "--connect", n.address, "--identity", key), &out, &problems)
		return out.String() + problems.String(), status
	}
	for name, c := range map[string]struct {
		arguments []string
		status    int
		words     string
	}{
		"no number":    {[]string{d.GetId(), "much"}, 2, "no privacy limit"},
		"one argument": {[]string{d.GetId()}, 2, "a dataset and an eps"},
		"higher":       {[]string{d.GetId(), "7"}, 2, "only be lowered"},
		"nobody":       {[]string{d.GetId(), "1", "--scientist", "bob"}, 2, "names no scientist"},
		"unknown":      {[]string{"x", "1"}, 7, "no such dataset"},
	} {
		if said, status := limit(c.arguments...); status != c.status || !strings.Contains(said, c.words) {
			t.Errorf("%s: status %d: %s", name, status, said)
		}
	}
	if said, status := limit(d.GetId(), "1.5", "--scientist", scientist.user); status != 0 || !strings.Contains(said, "limit of "+scientist.user[:12]) {
		t.Errorf("status %d: %s", status, said)
	}
	if said, status := limit(d.GetId(), "4"); status != 0 || !strings.Contains(strings.Join(strings.Fields(said), " "), "remaining 4") {
		t.Errorf("status %d: %s", status, said)
	}
	m := scientist.uploadModel(d.GetId())
	var trailer metadata.MD
	_, err := scientist.runs().StartTraining(scientist.ctx(), &bastionlabv1.StartTrainingRequest{Request: request(m, d.GetId(), 2)}, grpc.Trailer(&trailer))
	if got := refused(trailer); err == nil || got == nil || got.Kind != refusal.BudgetExceeded || got.Budget == nil || got.Budget.LimitNano != 15e8 {
		t.Errorf("beyond the scientist's limit: %v, %v", err, got)
	}
	seen, err := scientist.data().GetBudget(scientist.ctx(), &bastionlabv1.GetBudgetRequest{DatasetId: d.GetId()})
	if err != nil || len(seen.GetScientists()) != 1 || len(seen.GetDatasets()) != 0 {
		t.Errorf("the scientist sees %v, %v", seen, err)
	}
}
