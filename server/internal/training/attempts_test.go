package training

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

var errDies = errors.New("it dies")

// The states that the scripted trainers write at the beginning of their two epochs of 8 steps. Nobody but a trainer may see them.
const (
	firstState  = "SAMPLED 4 7 11"
	secondState = "SAMPLED 3 9 60"
)

// attempts has each trainer play the next of the parts, and the last of them from then on. It writes down what each was given.
type attempts struct {
	mu    sync.Mutex
	parts []func(context.Context, *fakeTrainer) error
	given []*fakeTrainer
}

func (w *world) script(parts ...func(context.Context, *fakeTrainer) error) *attempts {
	a := &attempts{parts: parts}
	w.trainer.run = func(ctx context.Context, t *fakeTrainer) error {
		a.mu.Lock()
		part := a.parts[min(len(a.given), len(a.parts)-1)]
		a.given = append(a.given, t)
		a.mu.Unlock()
		return part(ctx, t)
	}
	return a
}

func (a *attempts) made() []*fakeTrainer {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.given)
}

// trains is an honest attempt that goes on from what it was given.
func trains(ctx context.Context, t *fakeTrainer) error {
	if t.data.GetResumedSteps() == 0 && len(t.resumed) == 0 {
		if err := t.keep(ctx, 0, firstState); err != nil {
			return err
		}
	}
	if t.data.GetResumedSteps() < 8 {
		return t.keep(ctx, 8, secondState)
	}
	return nil
}

func dies(context.Context, *fakeTrainer) error { return errDies }

// diesAt is an attempt that dies at a stage of the run.
func diesAt(stage string) func(context.Context, *fakeTrainer) error {
	return func(ctx context.Context, t *fakeTrainer) error {
		switch stage {
		case "while it writes its first state":
			if _, err := t.state.WriteString(firstState[:5]); err != nil {
				return err
			}
		case "in the first epoch":
			return errors.Join(t.keep(ctx, 0, firstState), errDies)
		case "while it writes its second state":
			if err := t.keep(ctx, 0, firstState); err != nil {
				return err
			}
			if _, err := t.state.WriteString(secondState[:5]); err != nil {
				return err
			}
		case "in the second epoch":
			return errors.Join(t.keep(ctx, 0, firstState), t.keep(ctx, 8, secondState), errDies)
		case "at the end, with rubbish":
			if err := errors.Join(t.keep(ctx, 0, firstState), t.keep(ctx, 8, secondState)); err != nil {
				return err
			}
			t.raw = []byte("rubbish")
			return nil
		}
		return errDies
	}
}

var stages = map[string]string{ // and what the next attempt goes on from
	"before its first state":           "",
	"while it writes its first state":  "",
	"in the first epoch":               firstState,
	"while it writes its second state": firstState,
	"in the second epoch":              secondState,
	"at the end, with rubbish":         secondState,
}

// expectNoStates: nothing that a run needs no more is left.
func (w *world) expectNoStates() {
	w.t.Helper()
	if ids, err := w.store.BlobIDs(stateKind); len(ids) != 0 || err != nil {
		w.t.Errorf("states are left: %v, %v", ids, err)
	}
}

func (w *world) asOwner(id string) *bastionlabv1.Run {
	w.t.Helper()
	run, err := w.Get(w.t.Context(), owner, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return run
}

func (w *world) approve(id string) {
	w.t.Helper()
	if run, err := w.Approve(w.t.Context(), owner, id); err != nil || run.GetStatus() != queued {
		w.t.Fatalf("approve: %v, %v", run, err)
	}
}

func TestADeadTrainersRunGoesOnFromItsLastState(t *testing.T) {
	for stage, state := range stages {
		t.Run(stage, func(t *testing.T) {
			w := newWorld(t)
			d := w.upload(6)
			a := w.script(diesAt(stage), trains)
			run := w.start(scientist, request(w.insertModel(scientist, d), d, 2)).GetId()
			ended := w.wait(run)
			expectRun(t, ended, completed, "", spentTwoOfSix)
			w.expectSpent(d, 2)
			made := a.made()
			if len(made) != 2 || string(made[1].resumed) != state || made[1].data.GetResumedSteps() != map[string]int64{secondState: 8}[state] {
				t.Fatalf("%d attempts, the last goes on from %q", len(made), made[len(made)-1].resumed)
			}
			if first, second := made[0].data.GetRun(), made[1].data.GetRun(); len(first) != 32 || !slices.Equal(first, second) {
				t.Errorf("the attempts are of the runs %x and %x", first, second)
			}
			// PRIVACY: that it happened is told to the owner, as a number.
			if ended.GetInterruptions() != 0 || w.asOwner(run).GetInterruptions() != 1 {
				t.Errorf("told %d times to the scientist, %d to the owner", ended.GetInterruptions(), w.asOwner(run).GetInterruptions())
			}
			if strings.Contains(w.log.String(), "SAMPLED") || strings.Contains(w.log.String(), errDies.Error()) || strings.Contains(ended.String(), "SAMPLED") {
				t.Errorf("what is private got out:\n%s", w.log)
			}
			w.expectNoStates()
		})
	}
}

func TestARunIsRepeatedOnceUnaskedAndThenOncePerApproval(t *testing.T) {
	w := newWorld(t)
	d := w.upload(6)
	a := w.script(diesAt("in the first epoch"), dies, dies, dies, trains)
	run := w.start(scientist, request(w.insertModel(scientist, d), d, 2)).GetId()
	for attempts := 2; attempts < 5; attempts++ {
		told := w.waitForOwner(run)
		if made := len(a.made()); made != attempts {
			t.Fatalf("%d attempts, want %d", made, attempts)
		}
		if told.GetStepsDone() != 0 || told.GetFailure() != "" || told.GetDecides() || told.GetSpent() != spentTwoOfSix {
			t.Errorf("its author reads %v", told)
		}
		if seen := w.asOwner(run); !seen.GetDecides() || seen.GetInterruptions() != int64(attempts) {
			t.Errorf("the owner reads %v", seen)
		}
		w.expectSpent(d, 2)
		if open := w.ledger.Unsettled(); len(open) != 1 {
			t.Errorf("unsettled: %v", open)
		}
		w.approve(run)
	}
	expectRun(t, w.wait(run), completed, "", spentTwoOfSix)
	for i, attempt := range a.made()[1:] {
		if string(attempt.resumed) != firstState {
			t.Errorf("attempt %d goes on from %q", i+2, attempt.resumed)
		}
	}
	if w.asOwner(run).GetDecides() {
		t.Error("there is something left to decide")
	}
	w.expectNoStates()
}

func TestOnlyTheOwnerDecides(t *testing.T) {
	w := newWorld(t)
	d := w.upload(6)
	a := w.script(dies)
	run := w.start(scientist, request(w.insertModel(scientist, d), d, 2)).GetId()
	w.waitForOwner(run)
	for user, kind := range map[string]refusal.Kind{
		scientist: refusal.PermissionDenied, operator: refusal.PermissionDenied, stranger: refusal.NotFound, "": refusal.NotFound,
	} {
		_, err := w.Approve(t.Context(), user, run)
		expectRefusal(t, err, kind, "")
		_, err = w.Deny(t.Context(), user, run, "")
		expectRefusal(t, err, kind, "")
	}
	if seen := w.get(run); seen.GetStatus() != waiting || len(a.made()) != 2 {
		t.Errorf("after %d attempts it is %v", len(a.made()), seen)
	}
	_, err := w.Deny(t.Context(), owner, run, "\x1b[2J")
	expectRefusal(t, err, refusal.InvalidArgument, "")
	denied, err := w.Deny(t.Context(), owner, run, "ask me first")
	if err != nil {
		t.Fatal(err)
	}
	expectRun(t, denied, failed, failureDenied, spentTwoOfSix)
	if told := w.wait(run); told.GetDenial() != "ask me first" || told.GetFailure() != failureDenied {
		t.Errorf("its author reads %v", told)
	}
	w.expectSpent(d, 2)
	w.expectNoStates()
	if open := w.ledger.Unsettled(); len(open) != 0 {
		t.Errorf("unsettled: %v", open)
	}
	_, err = w.Approve(t.Context(), owner, run)
	expectRefusal(t, err, refusal.InvalidArgument, "does not wait")
}

func TestWhatDoesNotWaitIsNotDecidedOn(t *testing.T) {
	w := newWorld(t)
	d := w.upload(6)
	h := holdTrainers(w)
	run := w.start(scientist, request(w.insertModel(scientist, d), d, 2)).GetId()
	<-h.arrived
	_, err := w.Approve(t.Context(), owner, run)
	expectRefusal(t, err, refusal.InvalidArgument, "does not wait")
	_, err = w.Deny(t.Context(), owner, run, "")
	expectRefusal(t, err, refusal.InvalidArgument, "does not wait")
	h.letGo()
	expectRun(t, w.wait(run), completed, "", spentTwoOfSix)
}

// PRIVACY: many runs of many scientists must not be many repetitions.
func TestInterruptionsOnADatasetAddUpUntilTheOwnerApproves(t *testing.T) {
	w := newWorld(t)
	d, other := w.upload(6), w.upload(6)
	m, theirs := w.insertModel(scientist, d), w.insertModel(stranger, d)
	const die = "in the first epoch"
	once := func(user, model, dataset string) (attempts int, run string) {
		a := w.script(diesAt(die), trains)
		run = w.start(user, request(model, dataset, 0.5)).GetId()
		for l := w.live(run); l != nil && l.state().EndedUnixMS == 0 && statusOf(l.state()) != waiting; {
			changed, leave := l.join()
			if row := l.state(); row.EndedUnixMS == 0 && statusOf(row) != waiting {
				<-changed
			}
			leave()
		}
		return len(a.made()), run
	}
	for i := range freeInterruptions {
		user, model := scientist, m
		if i%2 == 1 {
			user, model = stranger, theirs
		}
		if attempts, _ := once(user, model, d); attempts != 2 {
			t.Errorf("run %d made %d attempts", i, attempts)
		}
	}
	attempts, run := once(scientist, m, d)
	if attempts != 1 || w.asOwner(run).GetStatus() != waiting {
		t.Errorf("after %d interruptions a run made %d attempts, and is %v", freeInterruptions, attempts, w.asOwner(run))
	}
	if attempts, _ := once(scientist, w.insertModel(scientist, other), other); attempts != 2 {
		t.Errorf("a run on another dataset made %d attempts", attempts)
	}
	w.script(trains)
	w.approve(run)
	expectRun(t, w.wait(run), completed, "", "eps 0.5 of the limit 6")
	if attempts, _ := once(scientist, m, d); attempts != 2 {
		t.Errorf("after the approval a run made %d attempts", attempts)
	}
}

// One approval is one attempt, also where the run was stopped by the count of its dataset before it was repeated at all.
func TestAnApprovalIsOfOneAttempt(t *testing.T) {
	w := newWorld(t)
	d := w.upload(6)
	m := w.insertModel(scientist, d)
	w.script(dies)
	for range 2 {
		w.waitForOwner(w.start(scientist, request(m, d, 0.5)).GetId())
	}
	a := w.script(dies)
	run := w.start(scientist, request(m, d, 0.5)).GetId()
	w.waitForOwner(run)
	if made := len(a.made()); made != 1 {
		t.Fatalf("%d attempts", made)
	}
	w.approve(run)
	w.waitForOwner(run)
	if made := len(a.made()); made != 2 {
		t.Errorf("%d attempts after one approval", made)
	}
}

func TestARunThatSomebodyEndsIsNotRepeated(t *testing.T) {
	for name, test := range map[string]struct {
		end     func(w *world, d, run string)
		status  bastionlabv1.RunStatus
		failure string
	}{
		"its author": {func(w *world, _, run string) {
			if _, err := w.Cancel(w.t.Context(), scientist, run); err != nil {
				w.t.Error(err)
			}
		}, cancelled, ""},
		"the operator": {func(w *world, _, run string) {
			if _, err := w.Cancel(w.t.Context(), operator, run); err != nil {
				w.t.Error(err)
			}
		}, cancelled, ""},
		"the owner, with the dataset": {func(w *world, d, _ string) { w.DatasetDeleted(w.t.Context(), d) }, failed, failureWithData},
	} {
		for _, when := range []string{"while it trains", "while it waits"} {
			t.Run(name+" "+when, func(t *testing.T) {
				w := newWorld(t)
				d := w.upload(6)
				arrived := make(chan struct{}, 1)
				a := w.script(func(ctx context.Context, t *fakeTrainer) error {
					err := t.keep(ctx, 0, firstState)
					arrived <- struct{}{}
					<-ctx.Done()
					return errors.Join(err, ctx.Err())
				})
				made := 1
				if when == "while it waits" {
					a, made = w.script(diesAt("in the first epoch"), dies), 2
				}
				run := w.start(scientist, request(w.insertModel(scientist, d), d, 2)).GetId()
				if when == "while it waits" {
					w.waitForOwner(run)
				} else {
					<-arrived
				}
				test.end(w, d, run)
				expectRun(t, w.wait(run), test.status, test.failure, spentTwoOfSix)
				if got := len(a.made()); got != made {
					t.Errorf("%d attempts", got)
				}
				w.expectSpent(d, 2)
				w.expectNoStates()
			})
		}
	}
}

func TestRunsThatWaitHoldUpNobody(t *testing.T) {
	w := open(t, t.TempDir(), nil)
	w.MaxQueued = 1
	w.serve()
	d := w.upload(0)
	m := w.insertModel(scientist, d)
	w.script(dies)
	for range maxWaitingOf {
		w.waitForOwner(w.start(scientist, request(m, d, 0.1)).GetId())
	}
	_, err := w.Start(t.Context(), scientist, &bastionlabv1.StartTrainingRequest{Request: request(m, d, 0.1)})
	expectRefusal(t, err, refusal.Unavailable, "wait for the owners")
	w.script(trains)
	run := w.start(stranger, request(w.insertModel(stranger, d), d, 0.1)).GetId()
	for l := w.live(run); l != nil && l.state().EndedUnixMS == 0; {
		<-l.ended
	}
}

// PRIVACY: a limit that was lowered while a run waited holds for it too.
func TestALimitThatIsLoweredEndsARunThatWaits(t *testing.T) {
	w := newWorld(t)
	d := w.upload(6)
	a := w.script(dies)
	run := w.start(scientist, request(w.insertModel(scientist, d), d, 2)).GetId()
	w.waitForOwner(run)
	lowered, err := accounting.NewEpsilon(1)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.ledger.LowerLimit(d, lowered); err != nil {
		t.Fatal(err)
	}
	w.approve(run)
	expectRun(t, w.wait(run), failed, failureWithData, spentTwoOfSix)
	if made := len(a.made()); made != 2 {
		t.Errorf("%d attempts were given the data", made)
	}
}
