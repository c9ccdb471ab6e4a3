package server

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bastionlab/bastionlab/server/internal/storage"
)

func TestCertificateIsKept(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	first, err := LoadCertificate(dir, "", now)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range alwaysNamed {
		if err := first.Leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if key := first.PrivateKey.(*ecdsa.PrivateKey); key.Curve != elliptic.P256() {
		t.Errorf("curve %s", key.Curve.Params().Name)
	}
	info, err := os.Stat(filepath.Join(dir, certificateFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v", info.Mode(), err)
	}
	// Written as key files are, so that what a killed server left is found and removed at the next start.
	if _, err := storage.ReadKeyFile(filepath.Join(dir, certificateFile)); err != nil {
		t.Error(err)
	}
	for name, test := range map[string]struct {
		host string
		when time.Time
		same bool
	}{
		"next day":          {"", now.AddDate(0, 0, 1), true},
		"host it has":       {"localhost", now, true},
		"near its end":      {"", now.AddDate(certificateYears, 0, -29), false},
		"clock set back":    {"", now.AddDate(-1, 0, 0), false},
		"host it lacks":     {"data.example.org", now, false},
		"address it lacks":  {"192.0.2.7", now, false},
		"leaf before begin": {"", now.Add(-30 * time.Minute), true},
	} {
		t.Run(name, func(t *testing.T) {
			kept, err := os.ReadFile(filepath.Join(dir, certificateFile))
			if err != nil {
				t.Fatal(err)
			}
			copied := t.TempDir()
			if err := os.WriteFile(filepath.Join(copied, certificateFile), kept, 0o600); err != nil {
				t.Fatal(err)
			}
			again, err := LoadCertificate(copied, test.host, test.when)
			if err != nil {
				t.Fatal(err)
			}
			if same := bytes.Equal(first.Leaf.Raw, again.Leaf.Raw); same != test.same {
				t.Errorf("the same certificate: %t", same)
			}
			if test.host != "" && again.Leaf.VerifyHostname(test.host) != nil {
				t.Errorf("it does not name %s", test.host)
			}
		})
	}
}

func TestSpoiltCertificateIsNotReplacedSilently(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, certificateFile), []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadCertificate(dir, "", time.Now()); err == nil {
		t.Error("rubbish was taken or thrown away")
	}
}

func TestOnlyTLS13IsSpoken(t *testing.T) {
	s := start(t, &fakes{})
	for name, version := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		config := trusting(s.leaf)
		config.NextProtos, config.MinVersion, config.MaxVersion = []string{"h2"}, version, version
		conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", s.address, config)
		if (err == nil) != (version == tls.VersionTLS13) {
			t.Errorf("TLS %s: %v", name, err)
		}
		if err == nil {
			conn.Close()
		}
	}
}
