package main

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/bastionlab/bastionlab/server"

type goPackage struct {
	ImportPath string
	Imports    []string
	Deps       []string
	CgoFiles   []string
}

// packages asks the go command what the module is made of. cgo is on, so that files which need it are seen.
func packages(t *testing.T) map[string]goPackage {
	t.Helper()
	list := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,Deps,CgoFiles", "./...")
	list.Dir = filepath.Join("..", "..")
	list.Env = append(list.Environ(), "CGO_ENABLED=1")
	output, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	found := map[string]goPackage{}
	decoder := json.NewDecoder(bytes.NewReader(output))
	for {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		found[strings.TrimPrefix(p.ImportPath, module+"/")] = p
	}
	if len(found) < 15 {
		t.Fatalf("go list sees %d packages only", len(found))
	}
	return found
}

// inModule are the packages of this module among imports, without the module's name.
func inModule(imports []string) []string {
	var own []string
	for _, path := range imports {
		if name, ok := strings.CutPrefix(path, module+"/"); ok {
			own = append(own, name)
		}
	}
	return own
}

func TestLayers(t *testing.T) {
	all := packages(t)
	t.Run("what is pure imports no input or output", func(t *testing.T) {
		impure := []string{"os", "os/exec", "os/signal", "net", "net/http", "database/sql", "io/fs", "io/ioutil", "syscall", "log", "log/slog", "time", "path/filepath", "golang.org/x/sys/unix", "google.golang.org/grpc"}
		for _, name := range []string{"internal/accounting", "internal/lineage", "internal/permission", "internal/planning", "internal/program", "internal/receipt", "internal/refusal", "internal/safetensors"} {
			for _, path := range append([]string{name}, inModule(all[name].Deps)...) {
				if strings.HasPrefix(path, "api/") {
					continue // generated
				}
				for _, imported := range all[path].Imports {
					if slices.Contains(impure, imported) {
						t.Errorf("%s reaches %s, which imports %s", name, path, imported)
					}
				}
			}
		}
	})
	t.Run("evidence is judged without files and without a network", func(t *testing.T) {
		const name = "internal/attestation/verification"
		if _, ok := all[name]; !ok {
			t.Fatalf("there is no %s", name)
		}
		outside := []string{"os", "os/exec", "os/signal", "net", "net/http", "net/rpc", "database/sql", "embed", "io/fs", "io/ioutil", "syscall", "log", "log/slog", "path/filepath", "crypto/tls"}
		for _, imported := range all[name].Imports {
			if slices.Contains(outside, imported) || strings.HasPrefix(imported, "golang.org/x/sys") || strings.HasPrefix(imported, "google.golang.org/grpc") {
				t.Errorf("%s imports %s", name, imported)
			}
			// The one can speak to devices and registers flags; the other is a second opinion in tests and no judge.
			if strings.HasPrefix(imported, "github.com/google/go-tdx-guest/client") || strings.HasPrefix(imported, "github.com/google/go-sev-guest") {
				t.Errorf("%s imports %s", name, imported)
			}
		}
		for _, imported := range inModule(all[name].Imports) {
			if !slices.Contains([]string{"internal/attestation", "internal/refusal", "api/bastionlab/v1"}, imported) {
				t.Errorf("%s imports %s", name, imported)
			}
		}
	})
	t.Run("each layer knows those below it only", func(t *testing.T) {
		for name, allowed := range map[string][]string{
			"internal/accounting": {"internal/refusal"},
			"internal/audit":      {"internal/refusal"},
			"internal/backup":     {"internal/ledger", "internal/receipt", "internal/refusal", "internal/storage"},
			"internal/permission": {"internal/accounting", "internal/refusal", "api/bastionlab/v1"},
			"internal/planning":   {"internal/accounting", "internal/receipt", "internal/refusal", "api/bastionlab/v1"},
			"internal/program":    {"internal/refusal", "internal/safetensors", "api/bastionlab/v1", "api/bastionlab/trainer/v1"},
			"internal/ledger":     {"internal/accounting", "internal/receipt", "internal/storage", "internal/refusal"},
			"internal/receipt":    {"internal/accounting"},
			"internal/lineage":    {"internal/refusal", "internal/safetensors", "api/bastionlab/v1"},
			"internal/storage":    {"internal/refusal"},
			"internal/telemetry":  {}, // figures are given to it
		} {
			if _, ok := all[name]; !ok {
				t.Errorf("there is no %s", name)
			}
			for _, imported := range inModule(all[name].Imports) {
				if !slices.Contains(allowed, imported) {
					t.Errorf("%s imports %s", name, imported)
				}
			}
		}
		for _, name := range []string{"internal/model", "internal/dataset", "internal/training", "internal/ledger", "internal/audit", "internal/storage", "internal/identity", "internal/supervisor"} {
			if slices.Contains(all[name].Deps, module+"/internal/server") {
				t.Errorf("%s reaches the services", name)
			}
			for _, imported := range all[name].Imports {
				if strings.HasPrefix(imported, "google.golang.org/grpc") {
					t.Errorf("%s imports %s: only the services and their clients speak gRPC", name, imported)
				}
			}
		}
	})
	t.Run("cgo is the trainer's alone", func(t *testing.T) {
		binding := 0
		for name, p := range all {
			if len(p.CgoFiles) == 0 {
				continue
			}
			binding++
			for user, other := range all {
				if slices.Contains(other.Deps, p.ImportPath) && user != "cmd/bastionlab-trainer" && !strings.HasPrefix(user, "internal/trainer") {
					t.Errorf("%s reaches %s, which needs cgo", user, name)
				}
			}
		}
		if binding == 0 {
			t.Error("no package needs cgo: this test looks at nothing")
		}
	})
}

func TestTheServerIsStatic(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "bastionlab")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, output)
	}
	file, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, program := range file.Progs {
		if program.Type == elf.PT_INTERP || program.Type == elf.PT_DYNAMIC {
			t.Errorf("the binary has a %s segment", program.Type)
		}
	}
}
