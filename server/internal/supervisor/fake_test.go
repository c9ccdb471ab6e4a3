//go:build linux

package supervisor

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/seam"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// The test binary plays the trainer where it is started under the name of a behaviour, and a server that is to be killed.
func TestMain(m *testing.M) {
	name := filepath.Base(os.Args[0])
	if name == serverName {
		os.Exit(playServer())
	}
	if name == scriptedName {
		os.Exit(playScript(os.Args[0]))
	}
	behave, ok := behaviours[name]
	if !ok {
		behave, ok = epochBehaviours[name]
	}
	if ok {
		os.Exit(playTrainer(behave))
	}
	goleak.VerifyTestMain(m)
}

const scriptedName = "scripted"

// actor is one fake trainer.
type actor struct {
	*seam.Conn
	role string
}

func playTrainer(behave func(*actor)) int {
	conn, err := seam.Inherited(3)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	behave(&actor{conn, os.Args[1]})
	return 0
}

func (a *actor) tell(frame *trainerv1.FromTrainer) {
	if err := a.Send(frame); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (a *actor) hear() (*trainerv1.ToTrainer, []*os.File) {
	var frame trainerv1.ToTrainer
	files, err := a.Receive(&frame)
	if err != nil {
		os.Exit(1)
	}
	return &frame, files
}

func (a *actor) hello() { a.helloOn(CPU) }

func (a *actor) helloOn(device string) {
	a.tell(&trainerv1.FromTrainer{Frame: &trainerv1.FromTrainer_Hello{Hello: &trainerv1.Hello{
		Abi: supportedABI, TorchVersion: "fake", Device: device, Layers: []*trainerv1.SandboxLayer{{Name: "rlimits", Active: true}},
	}}})
}

func (a *actor) prepared() {
	a.hello()
	a.hear()
	a.tell(&trainerv1.FromTrainer{Frame: &trainerv1.FromTrainer_Prepared{Prepared: &trainerv1.Prepared{}}})
}

// intake takes the archive and returns the output.
func (a *actor) intake() *os.File {
	a.hello()
	_, files := a.hear()
	return files[1]
}

func (a *actor) took(bytes int64) {
	report := &bastionlabv1.CapabilityReport{Operators: []*bastionlabv1.OperatorUse{{Name: os.Args[3], Count: 1}}}
	a.tell(&trainerv1.FromTrainer{Frame: &trainerv1.FromTrainer_IntakeDone{IntakeDone: &trainerv1.IntakeDone{ProgramBytes: bytes, Report: report}}})
}

func (a *actor) progress(steps, epochs int64) {
	a.tell(&trainerv1.FromTrainer{Frame: &trainerv1.FromTrainer_Progress{Progress: &trainerv1.Progress{StepsDone: steps, EpochsDone: epochs}}})
}

func (a *actor) finished(bytes int64) {
	a.tell(&trainerv1.FromTrainer{Frame: &trainerv1.FromTrainer_Finished{Finished: &trainerv1.Finished{OutputBytes: bytes}}})
}

func (a *actor) tested(sum int64) {
	a.tell(&trainerv1.FromTrainer{Frame: &trainerv1.FromTrainer_Tested{Tested: &trainerv1.Tested{Sum: sum}}})
}

// data takes the records and returns the output.
func (a *actor) data() *os.File {
	_, files := a.hear()
	return files[1]
}

// begins writes no state, announces it, and waits until it is kept.
func (a *actor) begins(steps int64) {
	a.tell(&trainerv1.FromTrainer{Frame: &trainerv1.FromTrainer_State{State: &trainerv1.State{StepsDone: steps, StateBytes: 1}}})
	if frame, _ := a.hear(); frame.GetStateKept() == nil {
		os.Exit(1)
	}
}

// steps makes all steps of two epochs.
func (a *actor) steps() {
	for step := range int64(4) {
		if step%2 == 0 {
			a.begins(step)
		}
		a.progress(step+1, (step+1)/2)
		a.progress(step+1, (step+1)/2) // a sign of life
	}
}

func (a *actor) fault(code trainerv1.Fault_Code, operator, layer, reason string) {
	a.tell(&trainerv1.FromTrainer{Frame: &trainerv1.FromTrainer_Fault{Fault: &trainerv1.Fault{Code: code, Operator: operator, Layer: layer, Reason: reason}}})
}

func (a *actor) raw(bytes string, files ...int) {
	var rights []byte
	if len(files) > 0 {
		rights = unix.UnixRights(files...)
	}
	if err := unix.Sendmsg(3, []byte(bytes), rights, nil, 0); err != nil {
		os.Exit(1)
	}
}

func hang() { time.Sleep(time.Hour) }

// behaviours before any data. Most come up in every role.
var behaviours = map[string]func(*actor){
	"dies-at-once":    func(*actor) { os.Exit(3) },
	"hangs-at-once":   func(*actor) { hang() },
	"rubbish-at-once": func(a *actor) { a.raw("\xff\xff\xff\xff rubbish"); hang() },
	"noise-at-once":   func(a *actor) { a.raw("\x00\x00\x00\x04\xff\xff\xff\xff"); hang() },
	"gives-descriptors": func(a *actor) {
		a.raw("\x00\x00\x00\x02\x0a\x00", 0, 1)
		hang()
	},
	"another-interface": func(a *actor) {
		a.tell(&trainerv1.FromTrainer{Frame: &trainerv1.FromTrainer_Hello{Hello: &trainerv1.Hello{Abi: supportedABI + 1}}})
		hang()
	},
	"dies-with-words": func(*actor) { fmt.Fprintln(os.Stderr, "libtorch finds no GPU"); os.Exit(1) },
	"trains-on-cuda": func(a *actor) {
		a.helloOn(CUDA)
		a.hear()
		a.tell(&trainerv1.FromTrainer{Frame: &trainerv1.FromTrainer_Prepared{Prepared: &trainerv1.Prepared{}}})
	},
	"does-not-compute": func(a *actor) {
		a.helloOn(CUDA)
		a.fault(trainerv1.Fault_CODE_INTERNAL, "", "", "the driver cannot open its files")
	},
	"no-hello": func(a *actor) { a.finished(1); hang() },
	"boasts": func(a *actor) {
		a.tell(&trainerv1.FromTrainer{Frame: &trainerv1.FromTrainer_Hello{Hello: &trainerv1.Hello{Abi: supportedABI, Device: CPU, Layers: []*trainerv1.SandboxLayer{
			{Name: "no-new-privs", Active: true}, {Name: "seccomp", Active: true}, {Name: "namespaces", Active: true, Detail: "boasted"},
		}}}})
		a.tell(&trainerv1.FromTrainer{Frame: &trainerv1.FromTrainer_ProbeDone{ProbeDone: &trainerv1.ProbeDone{}}})
	},
	"dies-on-request":  func(a *actor) { a.hello(); a.hear(); fmt.Fprintln(os.Stderr, "last words"); os.Exit(3) },
	"hangs-on-request": func(a *actor) { a.hello(); a.hear(); hang() },
	"deaf": func(a *actor) {
		signal.Ignore(unix.SIGTERM)
		a.hello()
		a.hear()
		hang()
	},
	"answers-otherwise": func(a *actor) { a.hello(); a.hear(); a.finished(1); hang() },
	"refuses": func(a *actor) {
		a.hello()
		a.hear()
		a.fault(trainerv1.Fault_CODE_INCOMPATIBLE_MODEL, "aten::batch_norm", "bn\x1b[31m", "it mixes records")
	},
	"judges": func(a *actor) {
		output := a.intake()
		if _, err := output.WriteString("program"); err != nil {
			os.Exit(1)
		}
		a.took(7)
	},
	"judges-and-lingers": func(a *actor) {
		output := a.intake()
		if _, err := output.WriteString("program"); err != nil {
			os.Exit(1)
		}
		a.took(7)
		// The server has heard that it is done; until it ends it can still write.
		time.Sleep(100 * time.Millisecond)
		if _, err := output.WriteString(" that was changed"); err != nil {
			os.Exit(1)
		}
	},
	"judges-nothing": func(a *actor) { a.intake(); a.took(0) },
	"boasts-of-size": func(a *actor) {
		output := a.intake()
		if _, err := output.WriteString("program"); err != nil {
			os.Exit(1)
		}
		a.took(8)
	},

	// With data.
	"trains": func(a *actor) {
		a.prepared()
		output := a.data()
		fmt.Fprintln(os.Stderr, "record 4711 is odd")
		a.steps()
		if _, err := output.WriteString("weights"); err != nil {
			os.Exit(1)
		}
		a.finished(7)
	},
	"lingers": func(a *actor) {
		a.prepared()
		output := a.data()
		a.steps()
		if _, err := output.WriteString("weights"); err != nil {
			os.Exit(1)
		}
		a.finished(7)
		signal.Ignore(unix.SIGTERM)
		hang()
	},
	"dies-with-data":    func(a *actor) { a.prepared(); a.data(); os.Exit(3) },
	"hangs-with-data":   func(a *actor) { a.prepared(); a.data(); hang() },
	"crawls-with-data":  crawl,
	"rubbish-with-data": func(a *actor) { a.prepared(); a.data(); a.raw("\xff\xff\xff\xff"); hang() },
	"fault-with-data": func(a *actor) {
		a.prepared()
		a.data()
		a.fault(trainerv1.Fault_CODE_OUT_OF_MEMORY, "aten::embedding", "words", "index 4711 is out of range")
	},
	"speaks-with-data":     func(a *actor) { a.prepared(); a.data(); a.progress(4711, 0); hang() },
	"gives-with-data":      func(a *actor) { a.prepared(); a.data(); a.raw("\x00\x00\x00\x02\x22\x00", 0); hang() },
	"nothing-with-data":    func(a *actor) { a.prepared(); a.data(); a.steps(); a.finished(7) },
	"ends-early-with-data": func(a *actor) { a.prepared(); a.data(); a.begins(0); a.progress(1, 0) },
	"tests": func(a *actor) {
		a.prepared()
		if _, files := a.hear(); len(files) != 1 {
			os.Exit(1)
		}
		fmt.Fprintln(os.Stderr, "record 4711 is odd")
		a.progress(0, 0)
		a.tested(-7)
	},
	"tests-and-speaks": func(a *actor) { a.prepared(); a.hear(); a.progress(1, 0); a.tested(4711) },
	"tests-with-loss": func(a *actor) {
		a.prepared()
		a.hear()
		a.tell(&trainerv1.FromTrainer{Frame: &trainerv1.FromTrainer_Progress{Progress: &trainerv1.Progress{Loss: new(float64)}}})
		a.tested(4711)
	},
	"finishes-a-test": func(a *actor) { a.prepared(); a.hear(); a.finished(7); hang() },
	"faults-a-test": func(a *actor) {
		a.prepared()
		a.hear()
		a.fault(trainerv1.Fault_CODE_OUT_OF_MEMORY, "aten::embedding", "words", "index 4711 is out of range")
	},
	"dies-in-a-test":  func(a *actor) { a.prepared(); a.hear(); os.Exit(3) },
	"hangs-in-a-test": func(a *actor) { a.prepared(); a.hear(); hang() },

	"dies-before-the-data": func(a *actor) { a.prepared(); os.Exit(3) },
}

// crawl is slower in all than the stall window, but never silent for so long.
func crawl(a *actor) {
	a.prepared()
	output := a.data()
	for range 8 {
		time.Sleep(shortWindow / 4)
		a.progress(0, 0)
	}
	a.steps()
	if _, err := output.WriteString("weights"); err != nil {
		os.Exit(1)
	}
	a.finished(7)
}

const shortWindow = 800 * time.Millisecond

// records of the log, for what must and must not stand there.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// launcher starts fake trainers of one behaviour. When the test ends no process of it may be left.
func launcher(t *testing.T, behaviour string) (*Launcher, *logged) {
	t.Helper()
	path := disguise(t, behaviour)
	log := &logged{}
	l, err := New(Config{Path: path, Threads: 1, StallWindow: shortWindow, Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if left := children(t); len(left) > 0 {
			t.Errorf("processes are left: %v", left)
		}
	})
	return l, log
}

// disguise makes the test binary startable under another name, by which it knows its part.
func disguise(t *testing.T, name string) string {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.Symlink(executable, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// children lists the processes whose parent this one is, zombies included.
func children(t *testing.T) []string {
	t.Helper()
	entries, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, entry := range entries {
		stat, err := os.ReadFile(entry)
		if err != nil {
			continue
		}
		// pid (name) state ppid: the name may hold anything, so count from its end.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) > 1 && fields[1] == fmt.Sprint(os.Getpid()) {
			found = append(found, strings.TrimSpace(string(stat)))
		}
	}
	return found
}

func openFile(t *testing.T, content string) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "test")
	t.Cleanup(func() { file.Close() })
	if _, err := file.WriteString(content); err != nil {
		t.Fatal(err)
	}
	return file
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}
