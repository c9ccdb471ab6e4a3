package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/permission"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// node is a server in this process: everything real but its trainers.
type node struct {
	t       *testing.T
	dir     string
	address string
	log     *lines
	stop    func() error
}

// lines is a log that tells when the server is ready.
type lines struct {
	mu     sync.Mutex
	buffer bytes.Buffer
	ready  chan string
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var line struct {
		Msg    string   `json:"msg"`
		Listen []string `json:"listen"`
	}
	if json.Unmarshal(p, &line) == nil && line.Msg == "ready" {
		l.ready <- line.Listen[0]
	}
	return l.buffer.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.String()
}

func testSettings(dir string) settings {
	return settings{listen: "127.0.0.1:0", dataDir: dir, trainer: os.DevNull, logLevel: "debug", memoryLimit: 1 << 30, threads: 1, drainTime: defaultDrainTime}
}

// serveOn starts a server on a directory and waits until it is ready.
func serveOn(t *testing.T, dir string, f *fakeTrainers) *node {
	t.Helper()
	return serveWith(t, testSettings(dir), f)
}

func serveWith(t *testing.T, s settings, f *fakeTrainers) *node {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) }) // the last of the clean-ups: connections and servers are closed by then
	n := &node{t: t, dir: s.dataDir, log: &lines{ready: make(chan string, 1)}}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, s, n.log, f.start) }()
	n.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := n.stop(); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	select {
	case n.address = <-n.log.ready:
	case err := <-ended:
		ended <- err
		t.Fatalf("serve: %v\n%s", err, n.log)
	case <-time.After(30 * time.Second):
		t.Fatalf("it does not get ready:\n%s", n.log)
	}
	return n
}

func (n *node) connect() *person { return connect(n.t, n.address, newKey(n.t)) }

func TestTheWalkThroughOverTheWire(t *testing.T) {
	n := serveOn(t, t.TempDir(), &fakeTrainers{})
	owner, scientist := n.connect(), n.connect()
	uploaded := owner.upload("SMSSpamCollection", 6)
	listed, err := scientist.data().ListDatasets(scientist.ctx(), &bastionlabv1.ListDatasetsRequest{})
	if err != nil || len(listed.GetDatasets()) != 1 || listed.GetDatasets()[0].GetId() != uploaded.GetId() || listed.GetDatasets()[0].GetMine() {
		t.Fatalf("listed %v, %v", listed, err)
	}
	m := scientist.uploadModel(uploaded.GetId())
	plan, err := scientist.runs().PlanTraining(scientist.ctx(), request(m, uploaded.GetId(), 2))
	if err != nil || plan.GetRemainingAfterNano() != 4e9 {
		t.Fatalf("plan %v, %v", plan, err)
	}
	run, err := scientist.runs().StartTraining(scientist.ctx(), &bastionlabv1.StartTrainingRequest{Request: request(m, uploaded.GetId(), 2), Charge: plan.GetCharge()})
	if err != nil {
		t.Fatal(err)
	}
	ended := scientist.wait(run.GetId())
	if ended.GetStatus() != bastionlabv1.RunStatus_RUN_STATUS_COMPLETED || ended.GetSpent() != "eps 2 of the limit 6" || !ended.GetMine() {
		t.Fatalf("the run ended as %v", ended)
	}
	if content, _, err := scientist.download(run.GetId()); err != nil || len(content) == 0 {
		t.Errorf("weights: %d bytes, %v", len(content), err)
	}
	if spent := owner.spent(uploaded.GetId()); spent != 2 {
		t.Errorf("spent %v", spent)
	}
	var trailer metadata.MD
	_, err = scientist.runs().StartTraining(scientist.ctx(), &bastionlabv1.StartTrainingRequest{Request: request(m, uploaded.GetId(), 6)}, grpc.Trailer(&trailer))
	if refusal := refused(trailer); err == nil || refusal == nil || refusal.Kind != 2 {
		t.Errorf("eps 6 after eps 2: %v, %v", err, refusal)
	}
	seen := owner.wait(run.GetId())
	if seen.GetMine() || seen.GetScientist() != scientist.user {
		t.Errorf("the owner sees %v", seen)
	}
}

func TestEverythingSurvivesARestart(t *testing.T) {
	dir, f := t.TempDir(), &fakeTrainers{}
	n := serveOn(t, dir, f)
	ownerKey, scientistKey := newKey(t), newKey(t)
	owner, scientist := connect(t, n.address, ownerKey), connect(t, n.address, scientistKey)
	d := owner.upload("d", 6)
	m := scientist.uploadModel(d.GetId())
	done := scientist.wait(scientist.start(request(m, d.GetId(), 1)).GetId())
	arrived, _ := f.hold()
	running, waiting := scientist.start(request(m, d.GetId(), 2)), scientist.start(request(m, d.GetId(), 3))
	<-arrived
	started := time.Now()
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(started); took > 8*time.Second {
		t.Errorf("an orderly stop took %s", took)
	}
	if !strings.Contains(n.log.String(), `"msg":"stopping"`) {
		t.Errorf("the log does not say that it stops:\n%s", n.log)
	}

	f.set(func(f *fakeTrainers) { f.train = nil })
	n = serveOn(t, dir, f)
	owner, scientist = connect(t, n.address, ownerKey), connect(t, n.address, scientistKey)
	if charged := owner.charged(d.GetId()); charged != 3 {
		t.Errorf("charged %v, want what completed and what had the data", charged)
	}
	for id, want := range map[string]string{done.GetId(): "completed", running.GetId(): "completed", waiting.GetId(): "failed"} {
		if got := runStatus(scientist.wait(id)); got != want {
			t.Errorf("run %s is %s, want %s", id, got, want)
		}
	}
	if _, _, err := scientist.download(done.GetId()); err != nil {
		t.Errorf("weights after a restart: %v", err)
	}
	again := scientist.wait(scientist.start(request(m, d.GetId(), 3)).GetId())
	if runStatus(again) != "completed" {
		t.Errorf("a run after a restart is %v", again)
	}
}

const helperServer = "BASTIONLAB_HELPER_SERVER"

// TestHelperServer is the server that the next test kills: this test binary, started again.
func TestHelperServer(t *testing.T) {
	dir := os.Getenv(helperServer)
	if dir == "" {
		t.Skip("only a helper")
	}
	f := &fakeTrainers{}
	f.hold()
	if err := serve(context.Background(), testSettings(dir), os.Stderr, f.start); err != nil {
		t.Fatal(err)
	}
}

func TestKilledServerLeavesTheCharge(t *testing.T) {
	dir := t.TempDir()
	helper := exec.Command(os.Args[0], "-test.run=^TestHelperServer$")
	helper.Env = append(os.Environ(), helperServer+"="+dir)
	helper.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := helper.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := helper.Start(); err != nil {
		t.Fatal(err)
	}
	log := &lines{ready: make(chan string, 1)}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		decoder := json.NewDecoder(stderr)
		for {
			var line json.RawMessage
			if decoder.Decode(&line) != nil {
				return
			}
			_, _ = log.Write(line)
		}
	}()
	var address string
	select {
	case address = <-log.ready:
	case <-time.After(30 * time.Second):
		t.Fatalf("the helper does not get ready:\n%s", log)
	}
	scientistKey := newKey(t)
	owner, scientist := connect(t, address, newKey(t)), connect(t, address, scientistKey)
	d := owner.upload("d", 6)
	m := scientist.uploadModel(d.GetId())
	running := scientist.start(request(m, d.GetId(), 2))
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		run, err := scientist.runs().GetRun(scientist.ctx(), &bastionlabv1.GetRunRequest{Id: running.GetId()})
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("the run is %v, %v", run, err)
		}
		if runStatus(run) == "running" {
			break
		}
	}
	waiting := scientist.start(request(m, d.GetId(), 3))
	if err := helper.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-copied
	_ = helper.Wait() // killed

	n := serveOn(t, dir, &fakeTrainers{})
	scientist = connect(t, n.address, scientistKey)
	if spent := scientist.spent(d.GetId()); spent != 2 {
		t.Errorf("spent %v", spent)
	}
	if run := scientist.wait(running.GetId()); runStatus(run) != "completed" || run.GetSpent() != "eps 2 of the limit 6" {
		t.Errorf("the run that had the data is %v", run)
	}
	if run := scientist.wait(waiting.GetId()); runStatus(run) != "failed" || run.GetSpent() != refusal.Nothing {
		t.Errorf("the run that had not is %v", run)
	}
}

func TestServeRefusesWithTheFix(t *testing.T) {
	broken := func(name, content string) string {
		dir := t.TempDir()
		n := serveOn(t, dir, &fakeTrainers{})
		if err := n.stop(); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		if content != "" {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	noLedger, otherLedger := broken("ledger.log", ""), broken("ledger.log", "{}\n")
	noKey := broken("keys/blobs.agekey", "")
	// The one that goes on is started last: what it starts behind its first word would look like something that the others left.
	taken := serveOn(t, t.TempDir(), &fakeTrainers{})
	for name, test := range map[string]struct {
		change func(*settings)
		kind   refusal.Kind
		words  []string
	}{
		"directory of another server": {func(s *settings) { s.dataDir = taken.dir }, refusal.Unavailable, []string{"another", taken.dir}},
		"port of another server":      {func(s *settings) { s.listen = taken.address }, refusal.Unavailable, []string{"cannot listen", "--listen"}},
		"no address":                  {func(s *settings) { s.listen = "here" }, refusal.InvalidArgument, []string{"here", "127.0.0.1:50056"}},
		"the whole network":           {func(s *settings) { s.listen = ":0" }, refusal.InvalidArgument, []string{"development mode", "--development"}},
		"another address":             {func(s *settings) { s.listen = "192.0.2.1:0" }, refusal.InvalidArgument, []string{"development mode", "--development"}},
		"no level":                    {func(s *settings) { s.logLevel = "loud" }, refusal.InvalidArgument, []string{"loud", "--log-level"}},
		"the ledger is gone":          {func(s *settings) { s.dataDir = noLedger }, refusal.Unavailable, []string{"ledger", "put back"}},
		"the ledger is another":       {func(s *settings) { s.dataDir = otherLedger }, refusal.Unavailable, []string{"ledger", "put back"}},
		"the key is gone":             {func(s *settings) { s.dataDir = noKey }, refusal.Unavailable, []string{"key", "backup"}},
		"an endorsement that is none": {func(s *settings) { s.endorsement = "/nowhere/vcek.der" }, refusal.Unavailable, []string{"/nowhere/vcek.der", "--endorsement"}},
		"a directory that is none":    {func(s *settings) { s.dataDir = "/dev/null/here" }, refusal.Unavailable, []string{"/dev/null", "--data-dir"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := testSettings(t.TempDir())
			test.change(&s)
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			err := serve(ctx, s, io.Discard, (&fakeTrainers{}).start)
			if err == nil || refusal.KindOf(err) != test.kind {
				t.Fatalf("got %v (kind %d), want kind %d", err, refusal.KindOf(err), test.kind)
			}
			for _, word := range test.words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q is not in %q", word, err)
				}
			}
		})
	}
}

func TestDevelopmentModeBeyondThisMachineHasToBeSaid(t *testing.T) {
	s := testSettings(t.TempDir())
	s.listen, s.development = "0.0.0.0:0", true
	log := &lines{ready: make(chan string, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, s, log, (&fakeTrainers{}).start) }()
	select {
	case <-log.ready:
	case err := <-ended:
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if text := log.String(); !strings.Contains(text, `"level":"WARN"`) || !strings.Contains(text, "every key is accepted") || !strings.Contains(text, `"beyond_loopback":true`) {
		t.Errorf("it is not loud:\n%s", text)
	}
}

// Where keys are registered a server is offered to a network without a word, and in development mode it is not.
func TestAServerOfRegisteredIdentitiesIsOfferedToTheNetwork(t *testing.T) {
	dir := t.TempDir()
	n := serveOn(t, dir, &fakeTrainers{})
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	s := testSettings(dir)
	s.listen = "0.0.0.0:0"
	if err := serve(t.Context(), s, io.Discard, (&fakeTrainers{}).start); refusal.KindOf(err) != refusal.InvalidArgument || !strings.Contains(err.Error(), "bastionlab user add") {
		t.Fatalf("in development mode: %v", err)
	}
	n = serveOn(t, dir, &fakeTrainers{})
	register(t, onSocket(t, n), publicKeyOf(t, newKey(t)), permission.Owner)
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	log := &lines{ready: make(chan string, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, s, log, (&fakeTrainers{}).start) }()
	select {
	case <-log.ready:
	case err := <-ended:
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}
