package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/attestation"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/server"
)

// relay ends TLS with a key of its own and passes on what it reads to a genuine server.
func relay(t *testing.T, genuine string) (address string) {
	t.Helper()
	certificate, err := server.NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS13})
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { pass(near, genuine) })
		}
	})
	t.Cleanup(func() { listener.Close(); serving.Wait() })
	return listener.Addr().String()
}

func pass(near net.Conn, genuine string) {
	defer near.Close()
	far, err := tls.Dial("tcp", genuine, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		return
	}
	defer far.Close()
	go func() {
		_, _ = io.Copy(near, far)
		near.Close()
	}()
	_, _ = io.Copy(far, near)
}

func TestACommandTakesNoServerThatDoesNotProveItself(t *testing.T) {
	genuine := serveOn(t, t.TempDir(), &fakeTrainers{})
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	identity := keyFile(t, key, "PRIVATE KEY", 0o600)
	write := func(policy string) string {
		path := filepath.Join(t.TempDir(), "policy.json")
		if err := os.WriteFile(path, []byte(policy), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	floor := `{"Milan": {"bl": 0, "tee": 0, "snp": 0, "ucode": 0}}`
	real := write(`{"platforms": ["sev-snp"], "measurements": ["` + strings.Repeat("ab", 48) + `"], "tcb": ` + floor + `, "chip_ids": null, "config_digests": null, "storage_levels": ["file"]}`)
	tests := map[string]struct {
		connect, policy string
		kind            refusal.Kind
		words           string
	}{
		"the genuine server":                         {genuine.address, "", refusal.NotFound, "no such dataset"},
		"the genuine server, as a simulated one":     {genuine.address, "simulated", refusal.NotFound, "no such dataset"},
		"a relay to it":                              {relay(t, genuine.address), "", refusal.Attestation, "binding"},
		"hardware is wanted, and there is none":      {genuine.address, real, refusal.Attestation, "simulated"},
		"a policy for servers with registered users": {genuine.address, write(strings.Replace(policyOfSimulated, "true", "false", 1)), refusal.Attestation, "development"},
		"a policy that is none":                      {genuine.address, write("{}"), refusal.Attestation, "platforms"},
		"a policy that is not there":                 {genuine.address, "/nowhere/policy.json", refusal.Unavailable, "--policy"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var out, problems bytes.Buffer
			arguments := []string{"dataset", "grant", "0123", "--user", "everybody", "--train", "--connect", test.connect, "--identity", identity}
			if test.policy != "" {
				arguments = append(arguments, "--policy", test.policy)
			}
			status := runCommand(arguments, &out, &problems)
			if status != exitStatus(refusal.New(test.kind, "", "")) || !strings.Contains(problems.String(), test.words) {
				t.Errorf("status %d: %s", status, &problems)
			}
		})
	}
}

func TestALinkIsOneConnection(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	l := &link{addresses: []string{listener.Addr().String()}}
	conn, err := l.dial(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if _, err := l.dial(t.Context(), ""); err == nil {
		t.Error("another connection took the place of the one that was proved")
	}
}

func TestANameIsThisMachinesIfAllItsAddressesAre(t *testing.T) {
	for text, want := range map[string]bool{
		"127.0.0.1": true, "::1": true, "127.0.0.1 ::1": true, "::ffff:127.0.0.1": true,
		"192.0.2.1": false, "127.0.0.1 192.0.2.1": false, "192.0.2.1 127.0.0.1": false, "::ffff:192.0.2.1": false, "0.0.0.0": false,
	} {
		var addresses []netip.Addr
		for _, ip := range strings.Fields(text) {
			addresses = append(addresses, netip.MustParseAddr(ip))
		}
		if onlyLoopback(addresses) != want {
			t.Errorf("%s: %t", text, !want)
		}
	}
}

// tampered is a device whose reports do not hold.
type tampered struct{ attestation.Provider }

func (d tampered) Attest(ctx context.Context, reportData [64]byte) (attestation.Report, error) {
	report, err := d.Provider.Attest(ctx, reportData)
	if err == nil {
		report.Bytes[0x90] ^= 1
	}
	return report, err
}

func TestAServerLooksAtItsOwnEvidence(t *testing.T) {
	device, err := attestation.NewSimulated(func(string) bool { return false }, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	said, err := proto.Marshal(&bastionlabv1.Claims{ConfigDigest: make([]byte, 48), StorageLevel: "file"})
	if err != nil {
		t.Fatal(err)
	}
	for provider, good := range map[attestation.Provider]bool{device: true, tampered{device}: false} {
		proof := attestation.NewBatcher(provider, func() attestation.Statement { return attestation.Statement{PublicKey: []byte("key"), Claims: said} })
		end := alongside(t.Context(), proof.Serve)
		err := checkProof(t.Context(), proof, []byte("key"))
		end()
		if (err == nil) != good || !good && refusal.KindOf(err) != refusal.Attestation {
			t.Errorf("good: %t, %v", good, err)
		}
	}
}
