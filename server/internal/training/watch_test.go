package training

import (
	"context"
	"errors"
	"testing"
	"time"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// watcher is somebody who watches, and may leave.
type watcher struct {
	states chan *bastionlabv1.Run
	ended  chan error
	leave  context.CancelFunc
}

func (w *world) watch(user, run string) *watcher {
	ctx, leave := context.WithCancel(context.Background())
	w.t.Cleanup(leave)
	v := &watcher{states: make(chan *bastionlabv1.Run, 100), ended: make(chan error, 1), leave: leave}
	go func() {
		v.ended <- w.Watch(ctx, user, run, func(state *bastionlabv1.Run) error { v.states <- state; return nil })
	}()
	return v
}

func (v *watcher) sees(t *testing.T, what string, condition func(*bastionlabv1.Run) bool) {
	t.Helper()
	for timeout := time.After(10 * time.Second); ; {
		select {
		case state := <-v.states:
			if condition(state) {
				return
			}
		case <-timeout:
			t.Fatalf("it never saw %s", what)
		}
	}
}

func TestWatchersComeAndGo(t *testing.T) {
	w := newWorld(t)
	d := w.upload(6)
	epoch := make(chan int64)
	w.trainer.run = func(ctx context.Context, t *fakeTrainer) error {
		for steps := range epoch {
			if err := t.keep(ctx, steps, "state"); err != nil {
				return err
			}
		}
		return ctx.Err()
	}
	run := w.start(scientist, request(w.insertModel(scientist, d), d, 2)).GetId()
	first := w.watch(scientist, run)
	first.sees(t, "that it runs", func(r *bastionlabv1.Run) bool { return r.GetStatus() == running })
	epoch <- 0
	first.leave()
	if err := <-first.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("who left got %v", err)
	}
	epoch <- 8 // nobody is there, and nothing waits for anybody
	again, byOwner := w.watch(scientist, run), w.watch(owner, run)
	for _, v := range []*watcher{again, byOwner} {
		v.sees(t, "an epoch", func(r *bastionlabv1.Run) bool { return r.GetStepsDone() == 8 && r.GetEpochsDone() == 1 })
	}
	close(epoch)
	for _, v := range []*watcher{again, byOwner} {
		v.sees(t, "the end", func(r *bastionlabv1.Run) bool { return r.GetStatus() == completed })
		if err := <-v.ended; err != nil {
			t.Errorf("watching ends with %v", err)
		}
	}
	late := w.watch(scientist, run)
	late.sees(t, "the end, late", func(r *bastionlabv1.Run) bool { return r.GetStatus() == completed })
	if err := <-late.ended; err != nil {
		t.Errorf("late watching ends with %v", err)
	}
}

func TestAWatcherWhoDoesNotReadHoldsUpNobody(t *testing.T) {
	w := newWorld(t)
	d := w.upload(6)
	h := holdTrainers(w)
	run := w.start(scientist, request(w.insertModel(scientist, d), d, 2)).GetId()
	<-h.arrived
	stuck, watching := make(chan struct{}), make(chan error, 1)
	go func() {
		watching <- w.Watch(context.Background(), scientist, run, func(*bastionlabv1.Run) error { <-stuck; return nil })
	}()
	h.letGo()
	w.wait(run)
	close(stuck)
	if err := <-watching; err != nil {
		t.Error(err)
	}
}

func TestProgressIsCoarseAndNeverBelievedBeyondThePlan(t *testing.T) {
	at := time.Unix(1000, 0)
	for name, test := range map[string]struct {
		steps  int64
		told   []int64 // by the trainer, a second apart
		shown  []int64 // 0: nothing new
		epochs int64   // at the last
	}{
		"few steps, each":       {4, []int64{1, 2, 3, 4}, []int64{1, 2, 3, 4}, 2},
		"many, in fiftieths":    {1000, []int64{19, 20, 39, 45, 1000}, []int64{0, 20, 0, 40, 1000}, 2},
		"the last part is less": {1001, []int64{1000, 1001}, []int64{987, 1001}, 2},
		"backwards":             {4, []int64{3, 1, 3, 4}, []int64{3, 0, 0, 4}, 2},
		"beyond the end":        {4, []int64{1 << 60}, []int64{4}, 2},
		"negative":              {4, []int64{-1 << 60, -1, 1}, []int64{0, 0, 1}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := coarse{steps: test.steps, epochEnds: []int64{test.steps / 2, test.steps}, interval: time.Second}
			var epochs int64
			for i, told := range test.told {
				steps, e, changed := c.tell(told, at.Add(time.Duration(i)*time.Second))
				if changed != (test.shown[i] != 0) || steps != test.shown[i] {
					t.Errorf("told %d, it shows %d (%t), want %d", told, steps, changed, test.shown[i])
				}
				if changed {
					epochs = e
				}
			}
			if epochs != test.epochs {
				t.Errorf("%d epochs, want %d", epochs, test.epochs)
			}
		})
	}
	c := coarse{steps: 10, interval: time.Second}
	c.tell(1, at)
	if _, _, changed := c.tell(5, at.Add(999*time.Millisecond)); changed {
		t.Error("it tells more often than once in an interval")
	}
}

func TestWhoSeesARun(t *testing.T) {
	w := newWorld(t)
	d := w.upload(6)
	run := w.wait(w.start(scientist, request(w.insertModel(scientist, d), d, 2)).GetId()).GetId()
	for name, test := range map[string]struct {
		user                  string
		sees                  bool
		cancel, weights       refusal.Kind
		listed, mine          bool
		cancelText, weighText string
	}{
		"author":   {user: scientist, sees: true, listed: true, mine: true},
		"owner":    {user: owner, sees: true, listed: true, cancel: refusal.PermissionDenied, weights: refusal.PermissionDenied},
		"operator": {user: operator, sees: true, listed: true, weights: refusal.PermissionDenied},
		"stranger": {user: stranger, cancel: refusal.NotFound, weights: refusal.NotFound},
		"nobody":   {user: "", cancel: refusal.NotFound, weights: refusal.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			seen, err := w.Get(t.Context(), test.user, run)
			if (err == nil) != test.sees || seen.GetMine() != test.mine {
				t.Errorf("get: %v, %v", seen, err)
			}
			if !test.sees {
				expectRefusal(t, err, refusal.NotFound, "no such run")
				expectRefusal(t, w.Watch(t.Context(), test.user, run, nil), refusal.NotFound, "no such run")
			}
			if _, err := w.Cancel(t.Context(), test.user, run); test.cancel != 0 || err != nil {
				expectRefusal(t, err, test.cancel, "")
			}
			weights, err := w.Weights(t.Context(), test.user, run)
			if test.weights != 0 || err != nil {
				expectRefusal(t, err, test.weights, "")
			} else {
				weights.File.Close()
			}
			if runs, err := w.List(t.Context(), test.user); err != nil || (len(runs) == 1) != test.listed {
				t.Errorf("listed: %v, %v", runs, err)
			}
		})
	}
}
