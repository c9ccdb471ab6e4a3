package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// keyFile is a key as the Python client keeps it.
func keyFile(t *testing.T, key any, kind string, mode os.FileMode) string {
	t.Helper()
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: encoded}), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// waitingRun is a run whose trainers die, up to where it waits for the owner of its dataset.
func waitingRun(t *testing.T, f *fakeTrainers, owner, scientist *person) string {
	t.Helper()
	f.set(func(f *fakeTrainers) {
		f.train = func(context.Context, []byte, func(*trainerv1.Progress)) error {
			return refusal.New(refusal.TrainingFailed, "", "it dies")
		}
	})
	d := owner.upload("d", 6)
	run := scientist.start(request(scientist.uploadModel(d.GetId()), d.GetId(), 2)).GetId()
	if waits := scientist.wait(run); waits.GetStatus() != bastionlabv1.RunStatus_RUN_STATUS_WAITING {
		t.Fatalf("the run is %v", waits)
	}
	return run
}

func decide(n *node, key string, arguments ...string) (stdout, stderr string, status int) {
	var out, problems bytes.Buffer
	arguments = append(append([]string{"run"}, arguments...), "--connect", n.address, "--identity", key)
	status = runCommand(arguments, &out, &problems)
	return out.String(), problems.String(), status
}

func TestTheOwnerDecidesOnTheCommandLine(t *testing.T) {
	f := &fakeTrainers{}
	n := serveOn(t, t.TempDir(), f)
	owner, scientist := n.connect(), n.connect()
	ownersKey, scientistsKey := keyFile(t, owner.key, "PRIVATE KEY", 0o600), keyFile(t, scientist.key, "PRIVATE KEY", 0o600)
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}

	run := waitingRun(t, f, owner, scientist)
	if _, stderr, status := decide(n, scientistsKey, "approve", run); status != exitStatus(refusal.New(refusal.PermissionDenied, "", "")) || !strings.Contains(stderr, "only the owner") {
		t.Errorf("its author approves: status %d, %s", status, stderr)
	}
	if _, stderr, status := decide(n, keyFile(t, p256, "PRIVATE KEY", 0o600), "approve", run); status != exitStatus(refusal.New(refusal.NotFound, "", "")) || !strings.Contains(stderr, "no such run") {
		t.Errorf("a stranger approves: status %d, %s", status, stderr)
	}
	f.set(func(f *fakeTrainers) { f.train = nil })
	if stdout, stderr, status := decide(n, ownersKey, "approve", run); status != 0 || !strings.Contains(stdout, "queued") || !strings.Contains(stdout, "interruptions  2") {
		t.Fatalf("the owner approves: status %d, %s%s", status, stdout, stderr)
	}
	if ended := scientist.wait(run); ended.GetStatus() != bastionlabv1.RunStatus_RUN_STATUS_COMPLETED {
		t.Errorf("the run is %v", ended)
	}

	run = waitingRun(t, f, owner, scientist)
	if stdout, stderr, status := decide(n, ownersKey, "deny", run, "--reason", "ask me first"); status != 0 || !strings.Contains(stdout, "ask me first") {
		t.Fatalf("the owner denies: status %d, %s%s", status, stdout, stderr)
	}
	if ended := scientist.wait(run); ended.GetStatus() != bastionlabv1.RunStatus_RUN_STATUS_FAILED || ended.GetDenial() != "ask me first" || ended.GetInterruptions() != 0 {
		t.Errorf("the run is %v", ended)
	}
	if _, stderr, status := decide(n, ownersKey, "approve", run); status != exitStatus(refusal.New(refusal.InvalidArgument, "", "")) || !strings.Contains(stderr, "does not wait") {
		t.Errorf("approved after all: status %d, %s", status, stderr)
	}
}

// PRIVACY: whoever runs the machine can interrupt runs, and so must not be the one who has them repeated.
func TestTheOperatorsSocketDecidesNothing(t *testing.T) {
	f := &fakeTrainers{}
	n := serveOn(t, t.TempDir(), f)
	owner, scientist := n.connect(), n.connect()
	run := waitingRun(t, f, owner, scientist)
	socket, err := openLocalSocket(n.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.directory.Close()
	conn, err := grpc.NewClient("passthrough:operator", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return socket.dial(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	operator, nobody := bastionlabv1.NewTrainingServiceClient(conn), (&person{}).ctx()
	if _, err := operator.ApproveRun(nobody, &bastionlabv1.ApproveRunRequest{Id: run}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("approve: %v", err)
	}
	if _, err := operator.DenyRun(nobody, &bastionlabv1.DenyRunRequest{Id: run}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("deny: %v", err)
	}
	if seen, err := operator.GetRun(nobody, &bastionlabv1.GetRunRequest{Id: run}); err != nil || seen.GetInterruptions() != 0 || seen.GetDecides() {
		t.Errorf("the operator sees %v, %v", seen, err)
	}
}

func TestKeysAndServersThatAreNotTaken(t *testing.T) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := keyFile(t, key, "PRIVATE KEY", 0o600)
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		connect, identity string
		kind              refusal.Kind
		words             string
	}{
		"no key":                      {"localhost:1", "", refusal.InvalidArgument, "--identity is missing"},
		"a key that is not there":     {"localhost:1", filepath.Join(t.TempDir(), "none.pem"), refusal.Unavailable, "name the key file"},
		"a key that others may read":  {"localhost:1", keyFile(t, key, "PRIVATE KEY", 0o644), refusal.Unavailable, "open to others"},
		"a key with a password":       {"localhost:1", keyFile(t, key, "ENCRYPTED PRIVATE KEY", 0o600), refusal.InvalidArgument, "protected by a password"},
		"a key of another kind":       {"localhost:1", keyFile(t, p384, "PRIVATE KEY", 0o600), refusal.InvalidArgument, "neither an Ed25519"},
		"no key in the file":          {"localhost:1", empty, refusal.InvalidArgument, "no PEM file"},
		"a server beyond the machine": {"192.0.2.1:1", good, refusal.Attestation, "--policy FILE"},
		"a name that leads nowhere":   {"server.invalid", good, refusal.Unavailable, "has no address"},
		"no server":                   {"localhost:1", good, refusal.Unavailable, "is the server running"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, problems bytes.Buffer
			status := runCommand([]string{"run", "approve", "0123", "--connect", test.connect, "--identity", test.identity}, &out, &problems)
			if status != exitStatus(refusal.New(test.kind, "", "")) || !strings.Contains(problems.String(), test.words) {
				t.Errorf("status %d: %s", status, &problems)
			}
		})
	}
}
