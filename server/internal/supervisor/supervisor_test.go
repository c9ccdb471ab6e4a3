//go:build linux

package supervisor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"golang.org/x/sys/unix"
)

func testProgram() *trainerv1.Program {
	return &trainerv1.Program{PayloadSha256: []byte("digest"), PayloadBytes: 7, Loss: "cross_entropy"}
}

func intake() *trainerv1.Intake {
	return &trainerv1.Intake{ArchiveSha256: []byte("digest"), ArchiveBytes: 7, Loss: "cross_entropy"}
}

func train() *trainerv1.Train {
	return &trainerv1.Train{Program: testProgram(), Settings: &trainerv1.Settings{Steps: 4, EpochEnds: []int64{2, 4}}}
}

func TestWhatGoesWrongBeforeTheDataIsARefusalFromAFixedList(t *testing.T) {
	const bothRoles = "intake,train"
	for _, test := range []struct {
		behaviour, roles string
		kind             refusal.Kind
		what             string // after the task's name
	}{
		{"dies-at-once", bothRoles, refusal.TrainingFailed, "ended the process that did it"},
		{"hangs-at-once", bothRoles, refusal.TrainingFailed, "took too long and was stopped"},
		{"rubbish-at-once", bothRoles, refusal.TrainingFailed, "gave no usable answer"},
		{"noise-at-once", bothRoles, refusal.TrainingFailed, "gave no usable answer"},
		{"gives-descriptors", bothRoles, refusal.TrainingFailed, "gave no usable answer"},
		{"another-interface", bothRoles, refusal.TrainingFailed, "could not begin"},
		{"no-hello", bothRoles, refusal.TrainingFailed, "gave no usable answer"},
		{"dies-on-request", bothRoles, refusal.TrainingFailed, "ended the process that did it"},
		{"hangs-on-request", bothRoles, refusal.TrainingFailed, "took too long and was stopped"},
		{"deaf", "intake", refusal.TrainingFailed, "took too long and was stopped"},
		{"answers-otherwise", bothRoles, refusal.TrainingFailed, "gave no usable answer"},
		{"judges-nothing", "intake", refusal.TrainingFailed, "gave no usable answer"},
		{"judges-and-lingers", "intake", refusal.TrainingFailed, "gave no usable answer"},
		{"boasts-of-size", "intake", refusal.TrainingFailed, "gave no usable answer"},
		{"refuses", bothRoles, refusal.IncompatibleModel, "the model cannot be trained privately (layer bn [31m, aten::batch_norm): it mixes records"},
	} {
		for role := range strings.SplitSeq(test.roles, ",") {
			t.Run(test.behaviour+"/"+role, func(t *testing.T) {
				l, _ := launcher(t, test.behaviour)
				task, err := "judging the model ", error(nil)
				if role == "intake" {
					_, err = l.Intake(soon(t), intake(), openFile(t, "archive"), openFile(t, ""))
				} else {
					task = "preparing the run "
					_, err = l.Prepare(soon(t), train(), openFile(t, "archive"), nil)
				}
				var refused *refusal.Error
				if !errors.As(err, &refused) {
					t.Fatalf("no refusal: %v", err)
				}
				if what := strings.TrimPrefix(refused.What, task); refused.Kind != test.kind || what != test.what {
					t.Errorf("got kind %d, %q", refused.Kind, refused.What)
				}
				if refused.Spent != refusal.Nothing || refused.Next == "" {
					t.Errorf("spent %q, next %q", refused.Spent, refused.Next)
				}
			})
		}
	}
}

func TestIntakeLeavesTheProgramInTheOutput(t *testing.T) {
	l, _ := launcher(t, "judges")
	output := openFile(t, "")
	done, err := l.Intake(soon(t), intake(), openFile(t, "archive"), output)
	if err != nil || done.GetProgramBytes() != 7 {
		t.Fatalf("%v, %v", done, err)
	}
	content := make([]byte, 8)
	if n, _ := output.ReadAt(content, 0); string(content[:n]) != "program" {
		t.Errorf("the output holds %q", content[:n])
	}
	// What it was told that it may write is in the fake's report.
	if limit := done.GetReport().GetOperators()[0].GetName(); limit != fmt.Sprint(2*7+256<<20) {
		t.Errorf("it may write %s bytes", limit)
	}
}

func TestRunTrainsAndTellsEachMarkOnce(t *testing.T) {
	l, log := launcher(t, "trains")
	trainer, err := l.Prepare(soon(t), train(), openFile(t, "archive"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	var marks []int64
	finished, err := runOn(t, soon(t), trainer, &trainerv1.Data{Records: 1, RecordBytes: 1}, func(p *trainerv1.Progress) { marks = append(marks, p.GetStepsDone()) })
	if err != nil || finished.GetOutputBytes() != 7 {
		t.Fatalf("%v, %v", finished, err)
	}
	if !slices.Equal(marks, []int64{1, 2, 3, 4}) {
		t.Errorf("told %v", marks)
	}
	if err := trainer.Close(); err != nil {
		t.Fatal(err)
	}
	if log.String() != "" {
		t.Errorf("the log holds what a process with records wrote: %s", log)
	}
}

func TestSlowIsAllowedSilentIsNot(t *testing.T) {
	l, _ := launcher(t, "crawls-with-data")
	trainer, err := l.Prepare(soon(t), train(), openFile(t, "archive"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	begin := time.Now()
	if _, err := runOn(t, soon(t), trainer, &trainerv1.Data{}, nil); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < shortWindow {
		t.Errorf("took %v: shorter than the window, so it shows nothing", took)
	}
}

// PRIVACY: whatever happens to a trainer that may have records, the answer is the same value, and the log is silent.
func TestWithTheDataEveryFailureIsTheSame(t *testing.T) {
	for _, behaviour := range []string{
		"dies-with-data", "hangs-with-data", "rubbish-with-data", "fault-with-data", "speaks-with-data", "gives-with-data", "nothing-with-data",
		"ends-early-with-data", "dies-before-the-data", "trains-without-a-state", "goes-beyond-its-state", "begins-in-the-midst",
		"begins-too-early", "begins-late", "begins-twice", "finishes-early", "finishes-without-its-last-steps",
	} {
		t.Run(behaviour, func(t *testing.T) {
			l, log := launcher(t, behaviour)
			trainer, err := l.Prepare(soon(t), train(), openFile(t, "archive"), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer trainer.Close()
			told := 0
			_, err = runOn(t, soon(t), trainer, &trainerv1.Data{}, func(*trainerv1.Progress) { told++ })
			if err != ErrTrainingFailed {
				t.Errorf("got %v", err)
			}
			if behaviour == "speaks-with-data" && told > 0 {
				t.Error("progress that the schedule does not have was passed on")
			}
			select {
			case <-trainer.Ended():
			default:
				t.Error("the process still runs")
			}
			if err := trainer.Close(); err != nil || log.String() != "" {
				t.Errorf("%v, logged: %s", err, log)
			}
		})
	}
}

func TestAKilledTrainerFailsItsRunAndNoOther(t *testing.T) {
	l, _ := launcher(t, "hangs-with-data")
	l.config.StallWindow = time.Minute
	for range 2 {
		trainer, err := l.Prepare(soon(t), train(), openFile(t, "archive"), nil)
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(100*time.Millisecond, func() { _ = unix.Kill(trainer.session.pid, unix.SIGKILL) })
		begin := time.Now()
		if _, err := runOn(t, soon(t), trainer, &trainerv1.Data{}, nil); err != ErrTrainingFailed {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("noticed after %v", took)
		}
	}
}

func TestTheEndOfAContextEndsTheProcess(t *testing.T) {
	for _, test := range []struct {
		behaviour string
		longest   time.Duration
	}{
		{"hangs-on-request", terminateGrace},
		{"deaf", terminateGrace + 2*time.Second}, // it ignores the polite signal
	} {
		t.Run(test.behaviour, func(t *testing.T) {
			l, _ := launcher(t, test.behaviour)
			l.config.StallWindow = time.Minute
			ctx, cancel := context.WithCancel(soon(t))
			time.AfterFunc(300*time.Millisecond, cancel)
			begin := time.Now()
			_, err := l.Intake(ctx, intake(), openFile(t, "archive"), openFile(t, ""))
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			if took := time.Since(begin); took > 300*time.Millisecond+test.longest {
				t.Errorf("took %v", took)
			}
		})
	}
	t.Run("with data", func(t *testing.T) {
		l, _ := launcher(t, "hangs-with-data")
		l.config.StallWindow = time.Minute
		trainer, err := l.Prepare(soon(t), train(), openFile(t, "archive"), nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(soon(t))
		time.AfterFunc(100*time.Millisecond, cancel)
		if _, err := runOn(t, ctx, trainer, &trainerv1.Data{}, nil); err != ErrTrainingFailed {
			t.Errorf("got %v", err)
		}
	})
	t.Run("before the start", func(t *testing.T) {
		l, _ := launcher(t, "judges")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := l.Intake(ctx, intake(), openFile(t, "archive"), openFile(t, "")); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestAFinishedTrainerThatDoesNotEndIsEnded(t *testing.T) {
	l, _ := launcher(t, "lingers")
	trainer, err := l.Prepare(soon(t), train(), openFile(t, "archive"), nil)
	if err != nil {
		t.Fatal(err)
	}
	trainer.session.exitGrace = 100 * time.Millisecond
	if _, err := runOn(t, soon(t), trainer, &trainerv1.Data{}, nil); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(trainer.Close(), trainer.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestCloseEndsATrainerThatWasNeverRun(t *testing.T) {
	l, _ := launcher(t, "trains")
	trainer, err := l.Prepare(soon(t), train(), openFile(t, "archive"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := trainer.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestEndedTellsOfADeathBeforeTheData(t *testing.T) {
	l, _ := launcher(t, "dies-before-the-data")
	trainer, err := l.Prepare(soon(t), train(), openFile(t, "archive"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	select {
	case <-trainer.Ended():
	case <-soon(t).Done():
		t.Fatal("nobody noticed")
	}
}

// SECURITY: what the kernel shows of a process weighs more than what it says.
func TestABoastIsNotBelieved(t *testing.T) {
	l, _ := launcher(t, "boasts")
	report, err := l.Probe(soon(t), CPU)
	if err != nil {
		t.Fatal(err)
	}
	missing := report.Missing()
	for _, want := range []string{"no-new-privs", "capabilities", "rlimits", "landlock", "seccomp", "attempt at open", "attempt at execve"} {
		if !slices.Contains(missing, want) {
			t.Errorf("%s is not missing in %v", want, missing)
		}
	}
	for _, layer := range report.Layers {
		if layer.GetDetail() == "boasted" {
			t.Error("the trainer's word about its namespaces was taken")
		}
	}
}

func TestALayerThatFallsAwayLaterIsRefused(t *testing.T) {
	l, log := launcher(t, "judges")
	if _, err := l.Intake(soon(t), intake(), openFile(t, "archive"), openFile(t, "")); err != nil {
		t.Fatal(err)
	}
	l.baselines[CPU].active = append(l.baselines[CPU].active, "landlock")
	if _, err := l.Intake(soon(t), intake(), openFile(t, "archive"), openFile(t, "")); err == nil {
		t.Fatal("a weaker sandbox was taken")
	}
	if !strings.Contains(log.String(), "lost its layer landlock") {
		t.Errorf("log: %s", log)
	}
}

func TestTheEnvironmentIsAList(t *testing.T) {
	t.Setenv("BASTIONLAB_SECRET", "hunter2")
	ofAll := []string{"OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMAXPROCS"}
	ofGPUs := []string{
		"CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_MODULE_LOADING", "CUDA_CACHE_DISABLE", "CUBLAS_WORKSPACE_CONFIG", "NVIDIA_TF32_OVERRIDE", "CUDA_MPS_PIPE_DIRECTORY",
	}
	for device, want := range map[string][]string{CPU: ofAll, CUDA: slices.Concat(ofAll, ofGPUs)} {
		var names []string
		for _, variable := range environment(2, device) {
			name, _, _ := strings.Cut(variable, "=")
			names = append(names, name)
		}
		if !slices.Equal(names, want) {
			t.Errorf("%s: a trainer would inherit %v, want %v", device, names, want)
		}
	}
}

func TestNewNamesAllThatIsWrong(t *testing.T) {
	_, err := New(Config{Path: "/nowhere", Threads: -1})
	for _, want := range []string{"/nowhere", "negative", "log"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not tell of %s", err, want)
		}
	}
	if _, err := New(Config{Path: "/etc/passwd", Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("a file that cannot be executed was taken for a trainer")
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	var words tail
	for i := range 3000 {
		fmt.Fprintf(&words, "line %d\n", i)
	}
	if got := words.String(); len(got) != tailBytes || !strings.HasSuffix(got, "line 2999\n") {
		t.Errorf("%d bytes, end %q", len(got), got[len(got)-20:])
	}
	if _, err := words.Write(make([]byte, 3*tailBytes)); err != nil || len(words.String()) != tailBytes {
		t.Errorf("%d bytes", len(words.String()))
	}
}

const serverName = "server-to-be-killed"

// playServer starts a trainer that hangs, tells its process identifier, and waits to be killed.
func playServer() int {
	l, err := New(Config{Path: os.Args[1], Threads: 1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return 1
	}
	p, err := l.start(launch{role: "intake", device: CPU})
	if err != nil {
		return 1
	}
	fmt.Println(p.pid)
	hang()
	return 0
}

// SECURITY: a trainer that outlived its server would hold records that nobody accounts for.
func TestTrainersDieWithTheServer(t *testing.T) {
	server := exec.Command(disguise(t, serverName), disguise(t, "hangs-at-once"))
	output, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	var trainer int
	if _, err := fmt.Fscan(bufio.NewReader(output), &trainer); err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(trainer, 0); err != nil {
		t.Fatalf("the trainer is not there to begin with: %v", err)
	}
	if err := server.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, output)
	_ = server.Wait()
	for range 100 {
		if unix.Kill(trainer, 0) == unix.ESRCH || zombie(trainer) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("the trainer lives on")
	_ = unix.Kill(trainer, unix.SIGKILL)
}

// zombie: where no init process reaps orphans, a dead one stays listed.
func zombie(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err == nil && strings.HasPrefix(statusField(string(status), "State"), "Z")
}
