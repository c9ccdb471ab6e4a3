//go:build linux

package supervisor

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/seam"
)

const (
	playedWindow = 30 * time.Millisecond
	// longest is how long a conversation may take that has a window of playedWindow: frames that come late one after the other, and the end of a
	// process that does not end by itself.
	longest = 10 * time.Second
)

// played starts a process that is none: a goroutine goes through a script on the far end, writes to nothing once it was stopped, and its
// end is the process's.
func played(acts script) func(launch) (*process, error) {
	return func(launch) (*process, error) {
		conn, far, err := seam.Pair()
		if err != nil {
			return nil, err
		}
		other, err := seam.NewConn(far)
		if err != nil {
			return nil, err
		}
		stopped, once := make(chan struct{}), sync.Once{}
		p := &process{conn: conn, pid: os.Getpid(), done: make(chan struct{}), exitGrace: playedWindow}
		p.signal = func(os.Signal) error {
			once.Do(func() { close(stopped); _ = other.SetDeadline(time.Unix(1, 0)) })
			return nil
		}
		go func() {
			actor := &player{rest: acts, socket: far, conn: other, stopped: stopped}
			actor.play()
			actor.drop()
			far.Close()
			close(p.done)
		}()
		return p, nil
	}
}

// traces are what a conversation may leave behind.
type traces struct{ descriptors, goroutines int }

func look(t *testing.T) traces {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return traces{len(entries), runtime.NumGoroutine()}
}

// leavesNothing compares with what was there before; what is on its way out is waited for.
func leavesNothing(t *testing.T, before traces) {
	t.Helper()
	after := look(t)
	for wait := 0; after.goroutines > before.goroutines && wait < 200; wait++ {
		time.Sleep(time.Millisecond)
		after = look(t)
	}
	if after.descriptors > before.descriptors || after.goroutines > before.goroutines {
		t.Fatalf("left behind: %+v, before %+v", after, before)
	}
}

// isRefusal: whatever a process without records does, it is an answer or a refusal for its author, and what a trainer wrote is readable.
func isRefusal(t *testing.T, err error) {
	t.Helper()
	var refused *refusal.Error
	if !errors.As(err, &refused) || refused.Spent != refusal.Nothing || refused.Next == "" {
		t.Fatalf("no refusal: %v", err)
	}
	if strings.ContainsFunc(refused.Error(), func(r rune) bool { return r < ' ' }) {
		t.Fatalf("it holds what cannot be printed: %q", refused.Error())
	}
}

func holdsAsAnnounced(t *testing.T, output *os.File, announced int64) {
	t.Helper()
	if info, err := output.Stat(); err != nil || announced < 1 || info.Size() != announced {
		t.Fatalf("%d bytes were taken for %d, %v", info.Size(), announced, err)
	}
}

// converse goes through a role with whatever l starts.
func converse(t *testing.T, l *Launcher, role byte, log *logged) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	archive, output := openFile(t, "archive"), openFile(t, "")
	defer archive.Close()
	defer output.Close()
	switch role % 3 {
	case 0:
		done, err := l.Intake(ctx, intake(), archive, output)
		if err != nil {
			isRefusal(t, err)
			return
		}
		holdsAsAnnounced(t, output, done.GetProgramBytes())
	case 1:
		report, err := l.Probe(ctx, CPU)
		if err == nil && len(report.Missing()) == 0 {
			t.Fatal("this process has no sandbox, and was believed to have one")
		}
	case 2:
		trainer, err := l.Prepare(ctx, train(), archive, nil)
		if err != nil {
			isRefusal(t, err)
			return
		}
		defer trainer.Close()
		runWithData(ctx, t, trainer, output, log)
	}
}

// runWithData: PRIVACY: with records there is a result, or one error; the log is silent; progress and states are the schedule's.
func runWithData(ctx context.Context, t *testing.T, trainer *Trainer, output *os.File, log *logged) {
	t.Helper()
	records := openFile(t, "r")
	defer records.Close()
	logged := log.String()
	last := &trainerv1.Progress{}
	told := func(p *trainerv1.Progress) {
		// The schedule of train(): four steps, an epoch for every two.
		if p.GetStepsDone() <= last.GetStepsDone() || p.GetStepsDone() > 4 || p.GetEpochsDone() != p.GetStepsDone()/2 {
			t.Errorf("told %v after %v", p, last)
		}
		last = p
	}
	var given []*os.File
	defer func() {
		for _, file := range given {
			file.Close()
		}
	}()
	next := func() *os.File {
		file := openFile(t, "")
		given = append(given, file)
		return file
	}
	began := int64(-1)
	keep := func(_ context.Context, state *trainerv1.State) (*os.File, error) {
		// A state of the schedule, once, when all before it was told.
		if steps := state.GetStepsDone(); steps <= began || steps != last.GetStepsDone() || steps%2 != 0 || steps > 2 {
			t.Errorf("a state after %d steps: before it %d, told %v", steps, began, last)
		}
		if began = state.GetStepsDone(); began == 2 {
			return nil, nil
		}
		return next(), nil
	}
	finished, err := trainer.Run(ctx, &trainerv1.Data{Records: 1, RecordBytes: 1}, []*os.File{records, output, next()}, told, keep)
	select {
	case <-trainer.Ended():
	default:
		t.Error("the process still runs")
	}
	if log.String() != logged {
		t.Errorf("the log holds what happened beside records: %s", log)
	}
	switch {
	case err == nil:
		holdsAsAnnounced(t, output, finished.GetOutputBytes())
	case err != ErrTrainingFailed || finished != nil:
		t.Errorf("got %v, %v", finished, err)
	}
}

// goodScripts are what honest trainers do, and the bad ones of the other tests.
func goodScripts() []script {
	written := script{actWrite, 7, 'p', 'r', 'o', 'g', 'r', 'a', 'm', 0}
	join := func(parts ...script) script {
		var all script
		for _, part := range parts {
			all = append(all, part...)
		}
		return all
	}
	trained := join(script{actHello, 1, actHear, actPrepared, actHear}, written, script{actState, 1, 0, actHear, actProgress, 1, 0, actProgress, 2, 1},
		script{actState, 1, 2, actHear, actProgress, 3, 1, actProgress, 4, 2})
	return []script{
		join(script{actHello, 1, actHear}, written, script{actTook, 1, 6}),
		join(script{actHello, 1, actHear}, written, script{actTook, 1, 6, actWait, 3, actWrite, 3, 'm', 'o', 'r', 9}),
		join(script{actHello, 1, actHear}, script{actResize, 13, actTook, 1, 13}),
		join(script{actHello, 1, actHear}, script{actFault, 3, 2, 'n', 'o'}),
		join(trained, script{actFinished, 6}),
		join(trained, script{actFinished, 6, actHang}),
		join(trained, script{actFinished, 6, actSeal, 15, actResize, 0}),
		join(trained, script{actState, 1, 4, actHear, actFinished, 6}),
		join(trained, script{actHangUp, actWrite, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 4}),
		{actHello, 0x7f, actProbed, 4, 'o', 'p', 'e', 'n'},
		{actHello, 1, actHear, actPrepared, actHear, actState, 1, 2, actHear, actProgress, 1, 0},
		{actHello, 1, actHear, actPrepared, actHear, actProgress, 4, 2, actProgress, 4, 2, actFault, 8, 3, 'r', 'o', 'w'},
		{actGive, 3, 0, 0, 0, 2, actHang},
		{actLength, 10, actHang},
		{actRaw, 3, 0, 0, 0},
		{actFrame, 2, 0xff, 0xff},
		{},
	}
}

const maxScriptBytes = 2048

// FuzzTakenOverTrainer plays scripts on the other end of the socket, in this process: whatever a trainer says or writes, and in whatever
// order, the server's side ends in time, with its own errors, and leaves nothing behind.
func FuzzTakenOverTrainer(f *testing.F) {
	for _, acts := range goodScripts() {
		for role := range byte(3) {
			f.Add(role, []byte(acts))
		}
	}
	f.Fuzz(func(t *testing.T, role byte, acts []byte) {
		if len(acts) > maxScriptBytes {
			return
		}
		before := look(t)
		begin, log := time.Now(), &logged{}
		l := &Launcher{
			config:    Config{StallWindow: playedWindow, Log: slog.New(slog.NewTextHandler(log, nil))},
			baselines: map[string]*baseline{CPU: {active: []string{}}}, begin: played(acts),
		}
		converse(t, l, role, log)
		if took := time.Since(begin); took > longest {
			t.Fatalf("took %v", took)
		}
		leavesNothing(t, before)
	})
}

// FuzzTakenOverProcess plays the same scripts in processes of their own: slow, but the kernel's part is real.
func FuzzTakenOverProcess(f *testing.F) {
	for _, acts := range goodScripts() {
		for role := range byte(3) {
			f.Add(role, []byte(acts))
		}
	}
	f.Fuzz(func(t *testing.T, role byte, acts []byte) {
		if len(acts) > maxScriptBytes {
			return
		}
		path := disguise(t, scriptedName)
		if err := os.WriteFile(path+".script", acts, 0o600); err != nil {
			t.Fatal(err)
		}
		before := look(t)
		log := &logged{}
		l, err := New(Config{Path: path, Threads: 1, StallWindow: shortWindow, Log: slog.New(slog.NewTextHandler(log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		l.begin = func(what launch) (*process, error) {
			p, err := l.start(what)
			if err == nil {
				p.exitGrace = shortWindow // a fuzzer gives ten seconds to all of it
			}
			return p, err
		}
		converse(t, l, role, log)
		leavesNothing(t, before)
		if left := children(t); len(left) > 0 {
			t.Fatalf("processes are left: %v", left)
		}
		if err := os.Remove(filepath.Clean(path)); err != nil {
			t.Fatal(err)
		}
	})
}
