package main

import (
	"bytes"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	grpchealth "google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

func health(dir string, arguments ...string) (stdout, stderr string, status int) {
	var out, problems bytes.Buffer
	status = runCommand(append([]string{"health", "--data-dir", dir}, arguments...), &out, &problems)
	return out.String(), problems.String(), status
}

func TestHealthIsOfAServerThatIsReady(t *testing.T) {
	n := serveOn(t, t.TempDir(), &fakeTrainers{})
	// Ready is logged when it listens, and said when it answers: a moment later.
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		stdout, stderr, status := health(n.dir)
		if status == 0 && stdout == "ready\n" && stderr == "" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("status %d: %s%s", status, stdout, stderr)
		}
	}
	if stdout, _, status := health(n.dir, "--json"); status != 0 || !strings.Contains(stdout, `"SERVING"`) {
		t.Errorf("as JSON: status %d, %s", status, stdout)
	}
	if _, stderr, status := health(n.dir, "now"); status != 2 {
		t.Errorf("with an argument: status %d, %s", status, stderr)
	}
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	// The socket that it left is there, and nobody behind it.
	if _, stderr, status := health(n.dir); status != 8 || !strings.Contains(stderr, n.dir+": its socket: connection refused\n") {
		t.Errorf("after its end: status %d, %s", status, stderr)
	}
}

func TestHealthOfNoServer(t *testing.T) {
	dir := t.TempDir()
	if _, stderr, status := health(dir); status != 8 || !strings.Contains(stderr, "no server answers in "+dir+": its socket: no such file or directory\n") {
		t.Errorf("of an empty directory: status %d, %s", status, stderr)
	}
	if _, stderr, status := health("/nowhere"); status != 8 || !strings.Contains(stderr, "no server answers") {
		t.Errorf("of no directory: status %d, %s", status, stderr)
	}
}

// listenIn makes a data directory with the socket of a server.
func listenIn(t *testing.T) (dir string, listener net.Listener) {
	t.Helper()
	dir = t.TempDir()
	directory, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { directory.Close() })
	listener, err = localSocket{directory}.listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return dir, listener
}

// A server that hangs takes connections, for its kernel does, and says nothing on them.
func TestHealthDoesNotWaitForAServerThatHangs(t *testing.T) {
	dir, listener := listenIn(t)
	defer listener.Close()
	began := time.Now()
	_, stderr, status := health(dir)
	if took := time.Since(began); status != 8 || !strings.Contains(stderr, "does not answer within 3s") || took > healthTime+2*time.Second {
		t.Errorf("status %d after %s: %s", status, took, stderr)
	}
}

// A server that starts or stops answers, and says that it is not ready.
func TestHealthIsNotOfAServerThatStops(t *testing.T) {
	dir, listener := listenIn(t)
	stopping := grpchealth.NewServer()
	stopping.Shutdown()
	transport := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(transport, stopping)
	ended := make(chan error, 1)
	go func() { ended <- transport.Serve(listener) }()
	if _, stderr, status := health(dir); status != 8 || !strings.Contains(stderr, "is not ready") {
		t.Errorf("status %d: %s", status, stderr)
	}
	transport.Stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
