//go:build linux

package sandbox

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const memoryBytes = 1 << 30

// buildProber compiles the stand-in for the trainer with layers that can be left out.
func buildProber(t *testing.T, tags string) string {
	t.Helper()
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip("the constructor needs a C compiler")
	}
	path := filepath.Join(t.TempDir(), "prober")
	build := exec.Command("go", "build", "-tags", tags, "-o", path, "./testdata/prober")
	build.Env = append(os.Environ(), "CGO_ENABLED=1") // also where the tests themselves are built without
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, output)
	}
	return path
}

type found struct {
	Layers []Layer
	Works  struct {
		LateThread, Compiled      int
		Preempted, Random, Hoards bool
		Dumpable                  int
		GPU                       deviceFiles
	}
	Attempts []Attempt
	Stderr   string
}

func (f found) denied() []string {
	var calls []string
	for _, attempt := range f.Attempts {
		if attempt.Denied {
			calls = append(calls, attempt.Call)
		}
	}
	return calls
}

func (f found) active() []string {
	var names []string
	for _, layer := range f.Layers {
		if layer.Active {
			names = append(names, layer.Name)
		}
	}
	return names
}

// runProber probes this very test process, which is the prober's parent.
func runProber(t *testing.T, path, without string, environment ...string) found {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "probe", strconv.Itoa(memoryBytes), "0", strconv.Itoa(os.Getpid()))
	cmd.Env = append(environment, "BASTIONLAB_SANDBOX_WITHOUT="+without)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("prober: %v\n%s\n%s", err, output, stderr.String())
	}
	got := found{Stderr: stderr.String()}
	lines := bufio.NewScanner(bytes.NewReader(output))
	for i := 0; lines.Scan(); i++ {
		var into any
		switch i {
		case 0:
			into = &got.Layers
		case 1:
			into = &got.Works
		default:
			got.Attempts = append(got.Attempts, Attempt{})
			into = &got.Attempts[len(got.Attempts)-1]
		}
		if err := json.Unmarshal(lines.Bytes(), into); err != nil {
			t.Fatalf("%v in %s", err, lines.Text())
		}
	}
	return got
}

func landlockVersion() int {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(version)
}

func everyCall() []string {
	var calls []string
	for _, attempt := range attempts {
		calls = append(calls, attempt.call)
	}
	return calls
}

// Each row leaves layers out and says what the rest still denies. The last row is the negative control: with nothing in force every
// attempt succeeds, so that a denial elsewhere in the table is the layers' doing.
func TestEachLayerHoldsByItself(t *testing.T) {
	if version := landlockVersion(); version < 6 {
		t.Skipf("the kernel's Landlock has version %d: it denies less than the table says", version)
	}
	path := buildProber(t, "sandboxtest")
	byLandlock := []string{"open", "open-write", "open-parent-memory", "bind", "process_vm_readv", "kill", "ptrace", "execve"}
	for _, test := range []struct {
		name, without string
		active        []string
		denied        []string
	}{
		{"everything in force", "", []string{NoNewPrivs, Capabilities, Rlimits, Landlock, Seccomp}, everyCall()},
		{"without Landlock", "landlock", []string{NoNewPrivs, Capabilities, Rlimits, Seccomp}, everyCall()},
		// Without the limits too: locked memory of zero is enough to stop a ring.
		{"without seccomp", "seccomp,rlimits", []string{NoNewPrivs, Capabilities, Landlock}, byLandlock},
		{"Landlock alone", "seccomp,capabilities,rlimits", []string{NoNewPrivs, Landlock}, byLandlock},
		{"seccomp alone", "landlock,capabilities,rlimits", []string{NoNewPrivs, Seccomp}, everyCall()},
		{"nothing in force", "no-new-privs,capabilities,rlimits,landlock,seccomp", nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := runProber(t, path, test.without)
			if os.Getuid() != 0 { // nobody had capabilities to begin with
				got.Layers = slices.DeleteFunc(got.Layers, func(layer Layer) bool { return layer.Name == Capabilities })
				test.active = slices.DeleteFunc(test.active, func(name string) bool { return name == Capabilities })
			}
			if active := got.active(); !slices.Equal(active, test.active) {
				t.Errorf("in force: %v, want %v\n%+v", active, test.active, got.Layers)
			}
			if denied := got.denied(); !slices.Equal(denied, test.denied) {
				t.Errorf("denied: %v, want %v\n%+v", denied, test.denied, got.Attempts)
			}
			for _, attempt := range got.Attempts {
				if !slices.Contains(test.denied, attempt.Call) && attempt.Detail != "succeeded" {
					t.Errorf("%s: %s: where it is not denied it must succeed, or the attempt shows nothing", attempt.Call, attempt.Detail)
				}
			}
		})
	}
}

// What training needs must work inside: threads made late, compiled kernels, preemption, randomness, and a bound on memory.
func TestTrainingCanWorkInside(t *testing.T) {
	got := runProber(t, buildProber(t, ""), "")
	if got.Works.LateThread != 0 {
		t.Errorf("a thread made after closing: error %d", got.Works.LateThread)
	}
	if got.Works.Compiled != 42 {
		t.Errorf("compiled code: %d", got.Works.Compiled)
	}
	if !got.Works.Preempted || !got.Works.Random {
		t.Errorf("%+v", got.Works)
	}
	if got.Works.Dumpable != 0 {
		t.Error("other processes of the same user may look into this one")
	}
	if got.Works.Hoards {
		t.Error("2 GiB were allocated under a limit of 1 GiB")
	}
}

func TestReleaseBuildLeavesNoLayerOut(t *testing.T) {
	path := buildProber(t, "")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(content, []byte("BASTIONLAB_SANDBOX_")) {
		t.Error("the release build knows how to leave layers out")
	}
	all := "no-new-privs,capabilities,rlimits,landlock,seccomp"
	if denied := runProber(t, path, all).denied(); !slices.Equal(denied, everyCall()) {
		t.Errorf("denied: %v", denied)
	}
}
