package training

import (
	"testing"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/planning"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// permitted is a dataset with permissions in which the scientist may train.
func (w *world) permitted(p *bastionlabv1.Permissions) string {
	w.t.Helper()
	d := w.granted(6, nil)
	w.permit(d, p)
	return d
}

func (w *world) permit(d string, p *bastionlabv1.Permissions) {
	w.t.Helper()
	p.Grants = []*grant{{User: scientist, Train: true}}
	encoded, err := proto.Marshal(p)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.store.SetPermissions(w.t.Context(), d, encoded); err != nil {
		w.t.Fatal(err)
	}
}

func onCUDA(model, dataset string) *bastionlabv1.TrainingRequest {
	r := request(model, dataset, 2)
	r.Device = "cuda"
	return r
}

// PRIVACY: no evidence speaks of a GPU's memory.
func TestRunsOfOthersOnAGPUTakeTheOwnersWord(t *testing.T) {
	w := newWorld(t)
	w.Devices = []string{"cuda"}
	d := w.permitted(&bastionlabv1.Permissions{})
	m := w.insertModel(scientist, d)
	_, err := w.Plan(t.Context(), scientist, onCUDA(m, d))
	expectRefusal(t, err, refusal.PermissionDenied, "no runs on a GPU")
	_, err = w.Start(t.Context(), scientist, &bastionlabv1.StartTrainingRequest{Request: onCUDA(m, d)})
	expectRefusal(t, err, refusal.PermissionDenied, "no runs on a GPU")
	if run := w.wait(w.start(scientist, request(m, d, 1)).GetId()); run.GetStatus() != completed {
		t.Errorf("on the CPU it is %v", run)
	}
	if plan, err := w.Plan(t.Context(), owner, onCUDA(w.insertModel(owner, d), d)); err != nil || plan.GetDevice() != "cuda" {
		t.Errorf("its owner: %v, %v", plan, err)
	}
	w.expectSpent(d, 1)
}

// Who asks for what there is not is told so, and not to ask the dataset's owner for it.
func TestADeviceThatIsNotOfferedIsNobodysToPermit(t *testing.T) {
	w := newWorld(t)
	d := w.permitted(&bastionlabv1.Permissions{})
	_, err := w.Plan(t.Context(), scientist, onCUDA(w.insertModel(scientist, d), d))
	expectRefusal(t, err, refusal.InvalidArgument, "not offered")
	w.Devices = []string{"cuda"}
	other := onCUDA(w.insertModel(scientist, d), d)
	other.Device = "mps"
	_, err = w.Plan(t.Context(), scientist, other)
	expectRefusal(t, err, refusal.InvalidArgument, "not offered")
}

// What a run computes on is in what its trainer is told, what people see, what is charged, and what is signed; of the CPU nothing is said.
func TestTheDeviceOfARunIsSaidEverywhere(t *testing.T) {
	for device, says := range map[string]string{"": "", "cpu": "", "cuda": "cuda"} {
		w := newWorld(t)
		w.Devices = []string{"cuda"}
		d := w.permitted(&bastionlabv1.Permissions{Gpu: true})
		r := request(w.insertModel(scientist, d), d, 2)
		r.Device = device
		plan, err := w.Plan(t.Context(), scientist, r)
		if err != nil {
			t.Fatal(err)
		}
		run, err := w.Start(t.Context(), scientist, &bastionlabv1.StartTrainingRequest{Request: r, Charge: plan.GetCharge()})
		if err != nil {
			t.Fatal(err)
		}
		ended := w.wait(run.GetId())
		if ended.GetStatus() != completed || ended.GetPlan().GetDevice() != says || (plan.GetSeconds() == 0) != (says == "cuda") {
			t.Errorf("%q: the run is %v", device, ended)
		}
		if told := w.trainer.prepared[0].GetSettings().GetDevice(); told != says {
			t.Errorf("%q: the trainer is told %q", device, told)
		}
		signed, err := w.Receipts(t.Context(), owner, run.GetId())
		if err != nil || len(signed) == 0 {
			t.Fatal(err)
		}
		body, err := receipt.Decode(signed[0].Body)
		if err != nil || planning.Agrees(body) != nil || planning.DeviceOf(body.Charge) != says {
			t.Errorf("%q: the receipt says %q, %v, %v", device, planning.DeviceOf(body.Charge), err, planning.Agrees(body))
		}
	}
}

// A price that was seen on one device is not one on another.
func TestAChargeOfOneDeviceStartsNoRunOnAnother(t *testing.T) {
	w := newWorld(t)
	w.Devices = []string{"cuda"}
	d := w.permitted(&bastionlabv1.Permissions{Gpu: true})
	m := w.insertModel(scientist, d)
	plan, err := w.Plan(t.Context(), scientist, request(m, d, 2))
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Start(t.Context(), scientist, &bastionlabv1.StartTrainingRequest{Request: onCUDA(m, d), Charge: plan.GetCharge()})
	expectRefusal(t, err, refusal.InvalidArgument, "plan again")
	w.expectSpent(d, 0)
}

// Every attempt at a run, also the next server's, computes where the first did.
func TestARunIsRepeatedOnItsDevice(t *testing.T) {
	w := newWorld(t)
	w.Devices = []string{"cuda"}
	w.script(dies, trains)
	d := w.permitted(&bastionlabv1.Permissions{Gpu: true})
	run := w.wait(w.start(scientist, onCUDA(w.insertModel(scientist, d), d)).GetId())
	if run.GetStatus() != completed || len(w.trainer.prepared) != 2 {
		t.Fatalf("%d attempts, %v", len(w.trainer.prepared), run)
	}
	for _, told := range w.trainer.prepared {
		if told.GetSettings().GetDevice() != "cuda" {
			t.Errorf("a trainer is told %v", told.GetSettings())
		}
	}
	row, err := w.store.Run(t.Context(), run.GetId())
	if err != nil {
		t.Fatal(err)
	}
	o, err := w.orderOf(t.Context(), row)
	if err != nil || o.train.GetSettings().GetDevice() != "cuda" || o.plan.GetDevice() != "cuda" {
		t.Errorf("the next server tells its trainer %v, %v", o.train.GetSettings(), err)
	}
	// PRIVACY: judged by the plan that is charged, whatever was asked before.
	w.permit(d, &bastionlabv1.Permissions{})
	_, err = w.orderOf(t.Context(), row)
	expectRefusal(t, err, refusal.PermissionDenied, "no runs on a GPU")
}

// A server that offers no GPU any more attempts no run on one: what could not begin would count as interrupted, with every run of the dataset.
func TestARunWaitsWhereItsDeviceIsNotOfferedAnyMore(t *testing.T) {
	left, run := killedAt(t, t.TempDir(), "in the first epoch", "cuda")
	w := reopened(t, left)
	if seen := w.asOwner(run); seen.GetStatus() != waiting || seen.GetInterruptions() != 1 {
		t.Fatalf("it is %v", seen)
	}
	w.approve(run) // this server does not serve
	w = reopened(t, w.killed())
	if seen := w.asOwner(run); seen.GetStatus() != waiting || seen.GetInterruptions() != 1 {
		t.Fatalf("it is %v", seen)
	}
	w = open(t, w.killed(), nil)
	w.Devices = []string{"cuda"}
	if err := w.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.script(trains)
	w.serve()
	w.approve(run)
	expectRun(t, w.wait(run), completed, "", spentTwoOfSix)
}

// PRIVACY: a record could stop the device, and with it the run: that is said before there is a charge.
func TestAModelThatCouldStopTheDeviceIsRefused(t *testing.T) {
	w := newWorld(t)
	w.Devices = []string{"cuda"}
	d := w.permitted(&bastionlabv1.Permissions{Gpu: true})
	m := w.insertModel(scientist, d, &bastionlabv1.OperatorUse{Name: "aten::linear", Count: 2}, &bastionlabv1.OperatorUse{Name: "aten::masked_scatter", Count: 1})
	_, err := w.Plan(t.Context(), scientist, onCUDA(m, d))
	expectRefusal(t, err, refusal.IncompatibleModel, "use torch.where")
	_, err = w.Start(t.Context(), scientist, &bastionlabv1.StartTrainingRequest{Request: onCUDA(m, d)})
	expectRefusal(t, err, refusal.IncompatibleModel, "aten::masked_scatter")
	w.expectSpent(d, 0)
	if run := w.wait(w.start(scientist, request(m, d, 1)).GetId()); run.GetStatus() != completed {
		t.Errorf("on the CPU it is %v", run)
	}
}
