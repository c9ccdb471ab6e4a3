package training

import (
	"context"
	"testing"

	"google.golang.org/protobuf/proto"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/permission"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

type grant = bastionlabv1.Grant

// granted is a new dataset on which the scientist has what is granted, and nobody else anything. Without a grant only its owner sees it.
func (w *world) granted(limit float64, g *grant) string {
	w.t.Helper()
	d := w.upload(limit)
	if _, err := w.datasets.Revoke(w.t.Context(), owner, d, permission.Everybody); err != nil {
		w.t.Fatal(err)
	}
	if g != nil {
		w.grant(d, g)
	}
	return d
}

// grant is what the server does with a new grant.
func (w *world) grant(d string, g *grant) {
	w.t.Helper()
	g.User = scientist
	if _, err := w.datasets.Grant(w.t.Context(), owner, d, g); err != nil {
		w.t.Fatal(err)
	}
	if err := w.AccessChanged(w.t.Context(), d); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) revoke(d string) {
	w.t.Helper()
	if _, err := w.datasets.Revoke(w.t.Context(), owner, d, scientist); err != nil {
		w.t.Fatal(err)
	}
	if err := w.AccessChanged(w.t.Context(), d); err != nil {
		w.t.Fatal(err)
	}
}

func TestWhatIsNotGrantedIsNotDone(t *testing.T) {
	w := newWorld(t)
	w.trainer.measure = half
	ctx := t.Context()
	for name, test := range map[string]struct {
		grant       *grant
		train, test refusal.Kind // 0: it is done
	}{
		"nothing":    {nil, refusal.NotFound, refusal.NotFound},
		"to look":    {&grant{}, refusal.PermissionDenied, refusal.PermissionDenied},
		"to train":   {&grant{Train: true}, 0, refusal.PermissionDenied},
		"to test":    {&grant{Test: true}, refusal.PermissionDenied, 0},
		"to take":    {&grant{TakeHome: true}, refusal.PermissionDenied, refusal.PermissionDenied},
		"everything": {&grant{Train: true, Test: true, TakeHome: true}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := w.granted(6, test.grant)
			m := w.insertModel(scientist, d)
			_, planned := w.Plan(ctx, scientist, request(m, d, 1))
			_, started := w.Start(ctx, scientist, &bastionlabv1.StartTrainingRequest{Request: request(m, d, 1)})
			_, testPlanned := w.PlanTest(ctx, scientist, testRequest(m, d, 1))
			_, testStarted := w.StartTest(ctx, scientist, &bastionlabv1.StartTestRequest{Request: testRequest(m, d, 1)})
			for what, call := range map[string]struct {
				err  error
				kind refusal.Kind
			}{"plan": {planned, test.train}, "start": {started, test.train}, "plan test": {testPlanned, test.test}, "start test": {testStarted, test.test}} {
				if call.kind == 0 && call.err != nil || call.kind != 0 && (call.err == nil || refusal.KindOf(call.err) != call.kind) {
					t.Errorf("%s: %v", what, call.err)
				}
			}
		})
	}
}

// PRIVACY: an owner who fears what time tells is not to be asked run by run.
func TestRunsOfOthersTakeConstantTimeWhereTheOwnerWantsIt(t *testing.T) {
	w := newWorld(t)
	d := w.granted(6, nil)
	encoded, err := proto.Marshal(&bastionlabv1.Permissions{ConstantTime: true, Grants: []*grant{{User: scientist, Train: true}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.store.SetPermissions(t.Context(), d, encoded); err != nil {
		t.Fatal(err)
	}
	r := request(w.insertModel(scientist, d), d, 1)
	_, err = w.Plan(t.Context(), scientist, r)
	expectRefusal(t, err, refusal.PermissionDenied, "constant_time")
	_, err = w.Start(t.Context(), scientist, &bastionlabv1.StartTrainingRequest{Request: r})
	expectRefusal(t, err, refusal.PermissionDenied, "constant_time")
	if _, err := w.Plan(t.Context(), owner, request(w.insertModel(owner, d), d, 1)); err != nil {
		t.Errorf("its owner: %v", err)
	}
	r.ConstantTime = true
	run := w.start(scientist, r)
	if err := w.AccessChanged(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if ended := w.wait(run.GetId()); ended.GetStatus() != completed {
		t.Errorf("a run in constant time is %v", ended)
	}
}

func TestWhatIsTakenBackEndsTheRunsThatNobodyMayDoAnyMore(t *testing.T) {
	for name, take := range map[string]func(w *world, d string){
		"revoked":       func(w *world, d string) { w.revoke(d) },
		"granted less":  func(w *world, d string) { w.grant(d, &grant{Test: true, TakeHome: true}) },
		"to look, only": func(w *world, d string) { w.grant(d, &grant{}) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			d, other := w.granted(6, &grant{Train: true, TakeHome: true}), w.granted(6, &grant{Train: true, TakeHome: true})
			h := holdTrainers(w)
			m := w.insertModel(scientist, d)
			running := w.start(scientist, request(m, d, 1)).GetId()
			<-h.arrived
			queued, owners := w.start(scientist, request(m, d, 2)).GetId(), w.start(owner, request(w.insertModel(owner, d), d, 1)).GetId()
			elsewhere := w.start(scientist, request(w.insertModel(scientist, other), other, 1)).GetId()
			take(w, d)
			expectRun(t, w.wait(queued), failed, failureAccessRevoked, refusal.Nothing)
			expectRun(t, w.wait(running), failed, failureWithData, "eps 1 of the limit 6")
			w.expectSpent(d, 2) // what had the data, and the owner's own
			h.letGo()
			if run := w.wait(elsewhere); run.GetStatus() != completed {
				t.Errorf("a run on another dataset is %v", run)
			}
			if run, err := w.Get(t.Context(), owner, owners); err != nil || run.GetStatus() != completed {
				t.Errorf("the owner's run is %v, %v", run, err)
			}
		})
	}
}

// A run that is started while its permission is taken back is charged for nothing, however the two meet.
func TestARunThatIsPricedIsJudgedAgainBeforeItIsCharged(t *testing.T) {
	w := newWorld(t)
	d := w.granted(6, &grant{Train: true})
	m := w.insertModel(scientist, d)
	priced, err := w.price(t.Context(), scientist, request(m, d, 1))
	if err != nil {
		t.Fatal(err)
	}
	w.revoke(d)
	_, err = w.Service.start(t.Context(), scientist, &bastionlabv1.StartTrainingRequest{}, request(m, d, 1), priced)
	expectRefusal(t, err, refusal.NotFound, "no such dataset")
	w.expectSpent(d, 0)
	if len(w.allLive()) != 0 {
		t.Error("it is known")
	}
}

func TestARunWhoseAuthorIsOutIsNotGoneOnWithAfterARestart(t *testing.T) {
	left, run := killedAt(t, t.TempDir(), "in the second epoch")
	w := open(t, left, nil)
	row, err := w.store.Run(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.datasets.Revoke(t.Context(), owner, row.DatasetID, permission.Everybody); err != nil {
		t.Fatal(err)
	}
	if err := w.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	ended, err := w.Get(t.Context(), scientist, run)
	if err != nil || ended.GetStatus() != failed || w.live(run) != nil {
		t.Errorf("the run is %v, %v", ended, err)
	}
	w.expectSpent(row.DatasetID, 2)
}

// PRIVACY: judged when they are taken, not when the run was started.
func TestWeightsGoHomeAsLongAsTheOwnerPermitsIt(t *testing.T) {
	w := newWorld(t)
	d := w.granted(6, &grant{Train: true})
	run := w.wait(w.start(scientist, request(w.insertModel(scientist, d), d, 1)).GetId()).GetId()
	take := func(user, run string) error {
		weights, err := w.Weights(t.Context(), user, run)
		if err == nil {
			weights.File.Close()
		}
		return err
	}
	expectRefusal(t, take(scientist, run), refusal.PermissionDenied, "take weights home")
	w.grant(d, &grant{TakeHome: true})
	if err := take(scientist, run); err != nil {
		t.Errorf("granted: %v", err)
	}
	w.revoke(d)
	expectRefusal(t, take(scientist, run), refusal.NotFound, "the weights stay here")
	expectRefusal(t, take(owner, run), refusal.PermissionDenied, "only its author")
	mine := w.waitAs(owner, w.start(owner, request(w.insertModel(owner, d), d, 1)).GetId())
	if err := take(owner, mine); err != nil {
		t.Errorf("the owner's own: %v", err)
	}
	w.grant(d, &grant{TakeHome: true})
	if err := w.datasets.Delete(t.Context(), owner, d); err != nil {
		t.Fatal(err)
	}
	expectRefusal(t, take(scientist, run), refusal.NotFound, "was deleted")
	if err := take(owner, mine); err != nil {
		t.Errorf("the owner's own, of a deleted dataset: %v", err)
	}
}

// waitAs is wait for runs of others than the scientist.
func (w *world) waitAs(user, id string) string {
	w.t.Helper()
	if err := w.Watch(w.t.Context(), user, id, func(*bastionlabv1.Run) error { return nil }); err != nil {
		w.t.Fatal(err)
	}
	return id
}

// PRIVACY: a run elsewhere that begins with weights, and hardly moves them, is a way home for them; a test elsewhere tells of them what one likes.
func TestWeightsThatMayNotGoHomeAreNotUsedElsewhere(t *testing.T) {
	w := newWorld(t)
	w.trainer.measure = half
	d, elsewhere := w.granted(6, &grant{Train: true, Test: true}), w.granted(0, &grant{Train: true, Test: true, TakeHome: true})
	m := w.insertModel(scientist, d)
	run := w.wait(w.start(scientist, request(m, d, 1)).GetId()).GetId()
	going := func(on string, eps float64) *bastionlabv1.TrainingRequest {
		r := request(m, on, eps)
		r.ContinueRunId = run
		return r
	}
	testing := func(on string, eps float64) *bastionlabv1.TestRequest {
		r := testRequest(m, on, eps)
		r.WeightsRunId = run
		return r
	}
	_, err := w.Plan(t.Context(), scientist, going(elsewhere, 0))
	expectRefusal(t, err, refusal.PermissionDenied, "take weights home")
	_, err = w.PlanTest(t.Context(), scientist, testing(elsewhere, 0))
	expectRefusal(t, err, refusal.PermissionDenied, "take weights home")
	if _, err := w.PlanTest(t.Context(), scientist, testing(d, 1)); err != nil {
		t.Errorf("a test where it was trained: %v", err)
	}
	on := w.wait(w.start(scientist, going(d, 1)).GetId()).GetId()

	// Where they may, they go on; what came of it goes home only as long as both owners permit it.
	w.grant(d, &grant{Train: true, TakeHome: true})
	r := going(elsewhere, 0)
	r.ContinueRunId = on
	mixed := w.wait(w.start(scientist, r).GetId()).GetId()
	weights, err := w.Weights(t.Context(), scientist, mixed)
	if err != nil {
		t.Fatal(err)
	}
	weights.File.Close()
	w.grant(d, &grant{Train: true})
	_, err = w.Weights(t.Context(), scientist, mixed)
	expectRefusal(t, err, refusal.PermissionDenied, "take weights home")
}

func TestAnOperatorOverTheNetworkIsNoAuthor(t *testing.T) {
	w := newWorld(t)
	w.Roles = func(user string) permission.Roles {
		if user == stranger {
			return permission.Operator
		}
		return rolesOf(user)
	}
	d := w.granted(6, &grant{Train: true})
	w.trainer.prepare = func(ctx context.Context, _ *trainerv1.Train) error { <-ctx.Done(); return ctx.Err() }
	run := w.start(scientist, request(w.insertModel(scientist, d), d, 1)).GetId()
	if _, err := w.Get(t.Context(), stranger, run); err != nil {
		t.Errorf("get: %v", err)
	}
	if runs, err := w.List(t.Context(), stranger); err != nil || len(runs) != 1 || runs[0].GetMine() {
		t.Errorf("list: %v, %v", runs, err)
	}
	_, err := w.Receipts(t.Context(), stranger, run)
	expectRefusal(t, err, refusal.NotFound, "no such run")
	_, err = w.Weights(t.Context(), stranger, run)
	expectRefusal(t, err, refusal.PermissionDenied, "only its author")
	if ended, err := w.Cancel(t.Context(), stranger, run); err != nil || ended.GetStatus() != cancelled {
		t.Errorf("cancel: %v, %v", ended, err)
	}
}
