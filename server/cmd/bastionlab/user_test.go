package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/permission"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// publicFile is a public key as the Python client writes it beside a key.
func publicFile(t *testing.T, key ed25519.PrivateKey) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key.pub")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicKeyOf(t, key)}), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// commandOn runs a command of the machine's operator.
func commandOn(n *node, arguments ...string) (stdout, stderr string, status int) {
	var out, problems bytes.Buffer
	status = runCommand(append(arguments, "--data-dir", n.dir), &out, &problems)
	return out.String(), problems.String(), status
}

// trySignIn is a sign-in that may be refused.
func trySignIn(t *testing.T, p *person, key ed25519.PrivateKey) error {
	t.Helper()
	var trailer metadata.MD
	sessions := bastionlabv1.NewSessionServiceClient(p.conn)
	anonymous := &person{}
	hello, err := sessions.Hello(anonymous.ctx(), &bastionlabv1.HelloRequest{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = sessions.SignIn(anonymous.ctx(), &bastionlabv1.SignInRequest{
		PublicKey: publicKeyOf(t, key), Challenge: hello.GetChallenge(), Signature: ed25519.Sign(key, signInMessage(hello.GetChallenge(), p.certificate)),
		Binding: bastionlabv1.Binding_BINDING_KEY,
	}, grpc.Trailer(&trailer))
	if err != nil {
		return refused(trailer)
	}
	return nil
}

func isDevelopment(t *testing.T, p *person) bool {
	t.Helper()
	return p.claims().GetDevelopment()
}

func (p *person) lists() error {
	_, err := p.data().ListDatasets(p.ctx(), &bastionlabv1.ListDatasetsRequest{})
	return err
}

func TestTheFirstUserClosesDevelopmentModeAlsoForTheNextStart(t *testing.T) {
	dir, f := t.TempDir(), &fakeTrainers{}
	n := serveOn(t, dir, f)
	owner, locked := n.connect(), n.connect()
	if !isDevelopment(t, owner) {
		t.Fatal("a new directory is not in development mode")
	}
	before := owner.upload("before", 6)
	stdout, stderr, code := commandOn(n, "user", "add", "--role", "owner,scientist", "--name", "Ada", publicFile(t, owner.key))
	if code != 0 || !strings.Contains(stdout, owner.user) || !strings.Contains(stdout, "owner, scientist") {
		t.Fatalf("status %d: %s%s", code, stdout, stderr)
	}
	if !strings.Contains(stderr, "DEVELOPMENT MODE IS CLOSED, FOR GOOD") || !strings.Contains(stderr, "LOCKED OUT") || !strings.Contains(stderr, locked.user) || strings.Contains(stderr, owner.user) {
		t.Errorf("it says %s", stderr)
	}
	if isDevelopment(t, owner) {
		t.Error("the server says that it is in development mode")
	}
	if err := owner.lists(); err != nil {
		t.Errorf("who was registered: %v", err)
	}
	if err := locked.lists(); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a session of a key that is not: %v", err)
	}
	if err := trySignIn(t, locked, locked.key); refusal.KindOf(err) != refusal.PermissionDenied || !strings.Contains(err.Error(), "bastionlab user add") {
		t.Errorf("its sign-in: %v", err)
	}
	silent := owner.upload("after", 6)
	if _, stderr, code := commandOn(n, "user", "add", "--role", "scientist", publicFile(t, locked.key)); code != 0 || strings.Contains(stderr, "DEVELOPMENT") {
		t.Errorf("the second: status %d, %s", code, stderr)
	}
	scientist := connect(t, n.address, locked.key)
	sees := func(id string) error {
		_, err := scientist.data().GetDataset(scientist.ctx(), &bastionlabv1.GetDatasetRequest{Id: id})
		return err
	}
	if sees(before.GetId()) != nil || status.Code(sees(silent.GetId())) != codes.NotFound {
		t.Errorf("a dataset of before: %v, one of after: %v", sees(before.GetId()), sees(silent.GetId()))
	}
	of := &bastionlabv1.ListReceiptsRequest{Of: &bastionlabv1.ListReceiptsRequest_DatasetId{DatasetId: silent.GetId()}}
	found, err := bastionlabv1.NewLedgerServiceClient(owner.conn).ListReceipts(owner.ctx(), of)
	if err != nil {
		t.Fatal(err)
	}
	first, errFirst := receipt.Decode(found.GetReceipts()[0].GetBody())
	newest, errNewest := receipt.Decode(found.GetReceipts()[len(found.GetReceipts())-1].GetBody())
	if errors.Join(errFirst, errNewest) != nil || !first.Origin.Development || newest.Origin.Development {
		t.Errorf("receipts say development: of before %t, of after %t", first.Origin.Development, newest.Origin.Development)
	}
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}

	n = serveOn(t, dir, f)
	if !strings.Contains(n.log.String(), `"registered identities"`) || strings.Contains(n.log.String(), "development mode") {
		t.Errorf("the log of the next start:\n%s", n.log)
	}
	owner = connect(t, n.address, owner.key)
	if isDevelopment(t, owner) {
		t.Error("the next start is in development mode")
	}
	if err := trySignIn(t, owner, newKey(t)); refusal.KindOf(err) != refusal.PermissionDenied {
		t.Errorf("a new key: %v", err)
	}
}

func TestUsersAreListedAndRevokedWhileTheServerRuns(t *testing.T) {
	f := &fakeTrainers{}
	n := serveOn(t, t.TempDir(), f)
	operator := onSocket(t, n)
	owner, scientist := registered(t, n, operator, permission.Owner), registered(t, n, operator, permission.Scientist)
	d := owner.uploadTo("d", &bastionlabv1.Grant{User: scientist.user, Train: true})
	_, letGo := f.hold()
	defer letGo()
	run := scientist.start(request(scientist.uploadModel(d), d, 1)).GetId()
	stream, err := scientist.runs().WatchRun(scientist.ctx(), &bastionlabv1.WatchRunRequest{Id: run})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		var err error
		for err == nil {
			_, err = stream.Recv()
		}
		ended <- err
	}()
	if stdout, stderr, code := commandOn(n, "user", "revoke", scientist.user); code != 0 || !strings.Contains(stdout, "revoked") {
		t.Fatalf("status %d: %s%s", code, stdout, stderr)
	}
	select {
	case err := <-ended:
		if status.Code(err) != codes.Unauthenticated {
			t.Errorf("the open call ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the open call goes on")
	}
	if err := scientist.lists(); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a session of who was revoked: %v", err)
	}
	if run := owner.wait(run); run.GetStatus() != bastionlabv1.RunStatus_RUN_STATUS_FAILED {
		t.Errorf("a run of who was revoked is %v", run)
	}
	if err := trySignIn(t, scientist, scientist.key); refusal.KindOf(err) != refusal.PermissionDenied || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("a sign-in: %v", err)
	}
	stdout, _, code := commandOn(n, "user", "list", "--json")
	list := struct{ Users []struct{ ID, Name string } }{}
	if err := json.Unmarshal([]byte(stdout), &list); code != 0 || err != nil || len(list.Users) != 2 {
		t.Errorf("status %d, %v: %s", code, err, stdout)
	}
	if stdout, _, _ := commandOn(n, "user", "list"); !strings.Contains(stdout, "revoked") || !strings.Contains(stdout, owner.user) {
		t.Errorf("listed %s", stdout)
	}
	if _, stderr, code := commandOn(n, "user", "revoke", strings.Repeat("0", 64)); code != exitStatus(refusal.New(refusal.NotFound, "", "")) || !strings.Contains(stderr, "no such user") {
		t.Errorf("nobody: status %d, %s", code, stderr)
	}
}

func TestAUserWithoutARoleOrAKeyIsNotAdded(t *testing.T) {
	n := serveOn(t, t.TempDir(), &fakeTrainers{})
	key := newKey(t)
	for name, test := range map[string]struct {
		arguments []string
		words     string
	}{
		"no role":             {[]string{publicFile(t, key)}, "--role is missing"},
		"a role that is none": {[]string{"--role", "root", publicFile(t, key)}, `"root" is no role`},
		"a private key":       {[]string{"--role", "owner", keyFile(t, key, "PRIVATE KEY", 0o600)}, "not a public key"},
		"no file":             {[]string{"--role", "owner", filepath.Join(t.TempDir(), "none.pub")}, "cannot be read"},
		"no key":              {[]string{"--role", "owner"}, "takes one argument"},
	} {
		if _, stderr, code := commandOn(n, append([]string{"user", "add"}, test.arguments...)...); code != exitStatus(refusal.New(refusal.InvalidArgument, "", "")) || !strings.Contains(stderr, test.words) {
			t.Errorf("%s: status %d, %s", name, code, stderr)
		}
	}
	if !isDevelopment(t, n.connect()) {
		t.Error("development mode is closed")
	}
	der := publicKeyOf(t, key)
	if got, err := readPublicKey("-", bytes.NewReader(der)); err != nil || !bytes.Equal(got, der) {
		t.Errorf("from stdin: %x, %v", got, err)
	}
	if _, err := readPublicKey("-", io.MultiReader(errorReader{})); refusal.KindOf(err) != refusal.InvalidArgument {
		t.Errorf("from a broken stdin: %v", err)
	}
}

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, errors.New("it breaks") }

// PRIVACY: a server that would not start without development mode must not leave it while it runs.
func TestAnIncompleteSandboxKeepsDevelopmentMode(t *testing.T) {
	n := serveOn(t, t.TempDir(), &fakeTrainers{missing: []string{"landlock"}})
	p := n.connect()
	_, stderr, code := commandOn(n, "user", "add", "--role", "owner", publicFile(t, p.key))
	if code != exitStatus(refusal.New(refusal.Unavailable, "", "")) || !strings.Contains(stderr, "landlock") || !isDevelopment(t, p) {
		t.Errorf("status %d, %s", code, stderr)
	}
}

func TestTheOwnerGrantsAndRevokesOnTheCommandLine(t *testing.T) {
	n := serveOn(t, t.TempDir(), &fakeTrainers{})
	operator := onSocket(t, n)
	owner, scientist := registered(t, n, operator, permission.Owner), registered(t, n, operator, permission.Scientist)
	d := owner.uploadTo("d")
	key := keyFile(t, owner.key, "PRIVATE KEY", 0o600)
	command := func(arguments ...string) (stdout, stderr string, code int) {
		var out, problems bytes.Buffer
		code = runCommand(append(append([]string{"dataset"}, arguments...), "--connect", n.address, "--identity", key), &out, &problems)
		return out.String(), problems.String(), code
	}
	if stdout, stderr, code := command("grant", d, "--user", publicFile(t, scientist.key), "--train", "--eps", "2.5"); code != 0 || !strings.Contains(stdout, scientist.user) || !strings.Contains(stdout, "2.5") {
		t.Fatalf("grant: status %d, %s%s", code, stdout, stderr)
	}
	got, err := scientist.data().GetDataset(scientist.ctx(), &bastionlabv1.GetDatasetRequest{Id: d})
	if err != nil || !got.GetMay().GetTrain() || got.GetMay().GetTest() || got.GetMay().GetTakeHome() || got.GetMay().GetEpsilonNano() != 25e8 {
		t.Errorf("the scientist may %v, %v", got.GetMay(), err)
	}
	if _, stderr, code := command("grant", d, "--user", scientist.user, "--train", "--eps", "3"); code == 0 || !strings.Contains(stderr, "only be lowered") {
		t.Errorf("more than before: status %d, %s", code, stderr)
	}
	if stdout, stderr, code := command("grant", d, "--user", "everybody", "--test"); code != 0 || !strings.Contains(stdout, "everybody") {
		t.Errorf("everybody: status %d, %s%s", code, stdout, stderr)
	}
	if _, stderr, code := command("revoke", d, "--user", scientist.user); code == 0 || !strings.Contains(stderr, "everybody was granted") {
		t.Errorf("one of everybody: status %d, %s", code, stderr)
	}
	for _, user := range []string{"everybody", strings.ToUpper(scientist.user)} {
		if stdout, stderr, code := command("revoke", d, "--user", user); code != 0 {
			t.Errorf("revoke: status %d, %s%s", code, stdout, stderr)
		}
	}
	if _, err := scientist.data().GetDataset(scientist.ctx(), &bastionlabv1.GetDatasetRequest{Id: d}); status.Code(err) != codes.NotFound {
		t.Errorf("after all was taken back: %v", err)
	}
	for _, wrong := range [][]string{{"grant", d}, {"grant", d, "--user", "nobody.pub"}, {"grant", d, "--user", scientist.user, "--eps", "-1"}, {"revoke", d}} {
		if _, stderr, code := command(wrong...); code != exitStatus(refusal.New(refusal.InvalidArgument, "", "")) {
			t.Errorf("%v: status %d, %s", wrong, code, stderr)
		}
	}
}

// What an owner takes back ends runs on the test set too.
func TestRevokingEndsRunsOnTheTestSet(t *testing.T) {
	f := &fakeTrainers{}
	n := serveOn(t, t.TempDir(), f)
	owner, scientist := n.connect(), n.connect()
	d := owner.upload("red", 6).GetId()
	sent := parts("test", 6, "")
	sent[0].GetHeader().TestOf, sent[0].GetHeader().PrivacyLimit = d, nil
	test, trailer, err := owner.sendDataset(sent)
	if err != nil {
		t.Fatal(err, refused(trailer))
	}
	m := scientist.uploadModel(d)
	arrived, letGo := f.hold()
	defer letGo()
	run := scientist.start(request(m, test.GetId(), 1)).GetId()
	<-arrived
	if _, err := owner.data().RevokeAccess(owner.ctx(), &bastionlabv1.RevokeAccessRequest{DatasetId: d}); err != nil {
		t.Fatal(err)
	}
	if ended := owner.wait(run); ended.GetStatus() != bastionlabv1.RunStatus_RUN_STATUS_FAILED {
		t.Errorf("the run is %v", ended)
	}
}

// Weights of a dataset that is deleted are used elsewhere no more, also by a run that has begun.
func TestDeletingEndsRunsElsewhereWithItsWeights(t *testing.T) {
	f := &fakeTrainers{}
	n := serveOn(t, t.TempDir(), f)
	owner, scientist := n.connect(), n.connect()
	d, own := owner.upload("red", 6).GetId(), scientist.upload("own", 6).GetId()
	m := scientist.uploadModel(d)
	going := request(m, own, 1)
	going.ContinueRunId = scientist.wait(scientist.start(request(m, d, 1)).GetId()).GetId()
	arrived, letGo := f.hold()
	defer letGo()
	run := scientist.start(going).GetId()
	<-arrived
	if _, err := owner.data().DeleteDataset(owner.ctx(), &bastionlabv1.DeleteDatasetRequest{Id: d}); err != nil {
		t.Fatal(err)
	}
	if ended := scientist.wait(run); ended.GetStatus() != bastionlabv1.RunStatus_RUN_STATUS_FAILED {
		t.Errorf("the run is %v", ended)
	}
}
