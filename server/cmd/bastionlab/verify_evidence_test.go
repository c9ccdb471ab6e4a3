package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/attestation"
)

// simulatedEvidence is a file of evidence as a client saves it, of a simulator.
func simulatedEvidence(t *testing.T, put map[string]any) []byte {
	t.Helper()
	device, err := attestation.NewSimulated(func(string) bool { return false }, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	claims, err := proto.Marshal(&bastionlabv1.Claims{Version: "1.0.0", LedgerKey: make([]byte, 32), ConfigDigest: make([]byte, 48), BootId: "b\x1b[2J", StorageLevel: "file"})
	if err != nil {
		t.Fatal(err)
	}
	nonce, key := [32]byte{1}, []byte("key")
	data := attestation.ReportData(key, claims, attestation.Leaf(bastionlabv1.Binding_BINDING_KEY, nonce, [32]byte{}))
	report, err := device.Attest(context.Background(), data)
	if err != nil {
		t.Fatal(err)
	}
	evidence, err := proto.Marshal(&bastionlabv1.Evidence{Format: device.Format(), Report: report.Bytes, Endorsements: report.Endorsements, Claims: claims,
		Binding: bastionlabv1.Binding_BINDING_KEY, TreeSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	members := map[string]any{"form": "bastionlab evidence 1", "evidence": evidence, "public_key": key, "nonce": nonce[:], "exporter": ""}
	for name, value := range put {
		members[name] = value
	}
	return marshalled(t, members)
}

func marshalled(t *testing.T, value any) []byte {
	t.Helper()
	content, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestVerifyEvidence(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	policy := func(name string, put map[string]any) string {
		fields := map[string]any{"platforms": []string{"simulated"}, "measurements": nil, "chip_ids": nil, "config_digests": nil, "storage_levels": []string{"file"}}
		for field, value := range put {
			fields[field] = value
		}
		return file(name, marshalled(t, fields))
	}
	content := simulatedEvidence(t, nil)
	evidence := file("evidence", content)
	open := policy("open", nil)
	pinned := policy("pinned", map[string]any{"measurements": []string{strings.Repeat("0", 96)}, "chip_ids": []string{strings.Repeat("0", 128)}, "config_digests": []string{strings.Repeat("0", 96)}})
	hardware := policy("hardware", map[string]any{"platforms": []string{"sev-snp"}, "measurements": []string{strings.Repeat("0", 96)},
		"tcb": map[string]any{"Milan": map[string]int{"bl": 0, "tee": 0, "snp": 0, "ucode": 0}}})
	for name, test := range map[string]struct {
		arguments []string
		status    int
		words     []string
	}{
		"a policy that takes it": {[]string{evidence, "--policy", pinned}, 0, []string{"measurement", "ok", strings.Repeat("0", 96), "binding", "bound to the server's key", "boot", "simulated"}},
		"any chip":               {[]string{evidence, "--policy", open}, 0, []string{"warning", "chip_ids is null: any chip", "config_digests is null"}},
		"as JSON":                {[]string{evidence, "--policy", open, "--json"}, 0, []string{`"refused":null`, `"check":"measurement"`, `"ledger_key":"00`, "chip_ids is null"}},
		"another measurement": {[]string{evidence, "--policy", policy("measured", map[string]any{"measurements": []string{strings.Repeat("1", 96)}})}, 6,
			[]string{"signature", "measurement", "FAILED", "expected " + strings.Repeat("1", 96), "send nothing"}},
		"refused, as JSON":         {[]string{evidence, "--policy", hardware, "--json"}, 6, []string{`"refused":{"check":"simulated"`}},
		"where hardware is wanted": {[]string{evidence, "--policy", hardware}, 6, []string{"simulated", "FAILED", "evidence from a real device"}},
		"no policy":                {[]string{evidence}, 6, []string{"chain", "ok", "seen", `"measurements": [`, "without a policy this proves only that a simulator signed it", "policy", "FAILED"}},
		"no policy, as JSON":       {[]string{evidence, "--json"}, 6, []string{`"proposed_policy":{"platforms":["simulated"]`, `"refused":{"check":"policy"`}},
		"a policy that is none":    {[]string{evidence, "--policy", evidence}, 6, []string{"check policy"}},
		"a policy with an error":   {[]string{evidence, "--policy", policy("wrong", map[string]any{"measurments": nil})}, 6, []string{"measurments: no such field"}},
		"for another nonce":        {[]string{file("nonce", simulatedEvidence(t, map[string]any{"nonce": make([]byte, 32)})), "--policy", open}, 6, []string{"binding", "FAILED", "relay"}},
		"another nonce, no policy": {[]string{file("nonce2", simulatedEvidence(t, map[string]any{"nonce": make([]byte, 32)}))}, 6, []string{"binding", "FAILED"}},
		"cut short":                {[]string{file("short", content[:len(content)/2])}, 6, []string{"a file of evidence, as a client saves it"}},
		"empty":                    {[]string{file("empty", nil)}, 6, []string{"check evidence"}},
		"not there":                {[]string{evidence + "x"}, 7, []string{"there is no file", "evidence"}},
		"too large":                {[]string{file("large", make([]byte, 2<<20))}, 2, []string{"more than 1048576 bytes"}},
		"its policy is not there":  {[]string{evidence, "--policy", evidence + "x"}, 7, []string{"there is no file", "policy"}},
		"no file":                  {nil, 2, []string{"takes one argument"}},
		"a directory":              {[]string{dir}, 1, []string{"read evidence"}},
	} {
		t.Run(name, func(t *testing.T) {
			var out, problems bytes.Buffer
			status := runCommand(append([]string{"verify", "evidence"}, test.arguments...), &out, &problems)
			said := out.String() + problems.String()
			if status != test.status {
				t.Errorf("status %d:\n%s", status, said)
			}
			for _, word := range test.words {
				if !strings.Contains(said, word) {
					t.Errorf("%q is not in\n%s", word, said)
				}
			}
			if strings.Contains(said, "\x1b") {
				t.Error("the server's text steers the terminal")
			}
		})
	}
}

// The policy that is shown is one that takes the evidence, and not evidence of another machine.
func TestTheProposedPolicy(t *testing.T) {
	dir := t.TempDir()
	evidence, other, policy := filepath.Join(dir, "evidence"), filepath.Join(dir, "other"), filepath.Join(dir, "policy")
	if err := errors.Join(os.WriteFile(evidence, simulatedEvidence(t, nil), 0o600), os.WriteFile(other, simulatedEvidence(t, nil), 0o600)); err != nil {
		t.Fatal(err)
	}
	var out, problems bytes.Buffer
	runCommand([]string{"verify", "evidence", evidence, "--json"}, &out, &problems)
	var shown struct {
		Policy json.RawMessage `json:"proposed_policy"`
	}
	if err := json.Unmarshal(out.Bytes(), &shown); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(policy, shown.Policy, 0o600); err != nil {
		t.Fatal(err)
	}
	if status := runCommand([]string{"verify", "evidence", evidence, "--policy", policy}, &out, &problems); status != 0 {
		t.Errorf("status %d: %s", status, problems.String())
	}
	if status := runCommand([]string{"verify", "evidence", other, "--policy", policy}, &out, &problems); status != 6 || !strings.Contains(problems.String(), "check chain") {
		t.Errorf("status %d: %s", status, problems.String())
	}
}
