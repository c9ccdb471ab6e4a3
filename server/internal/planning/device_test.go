package planning_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/planning"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// chargeOf is a plan's charge, encoded and read.
func chargeOf(t *testing.T, p planning.Plan) ([]byte, *bastionlabv1.Charge) {
	t.Helper()
	encoded, err := planning.Charge(p, "d", []byte{1})
	charge := &bastionlabv1.Charge{}
	if err != nil || proto.Unmarshal(encoded, charge) != nil {
		t.Fatal(err)
	}
	return encoded, charge
}

func TestADeviceThatIsOfferedStandsInPlanAndCharge(t *testing.T) {
	r := walkThrough()
	onCPU := mustPrice(t, r)
	r.Devices = []string{planning.CUDA}
	cpuBytes, _ := chargeOf(t, onCPU)
	for _, named := range []string{"", planning.CPU} {
		r.Device = named
		plan := mustPrice(t, r)
		encoded, charge := chargeOf(t, plan)
		if plan.Device != "" || charge.GetDevice() != "" || string(encoded) != string(cpuBytes) || plan.Seconds <= 0 || len(plan.Warnings) != 0 {
			t.Errorf("%q: %+v, charge %v", named, plan, charge)
		}
	}
	r.Device = planning.CUDA
	plan := mustPrice(t, r)
	encoded, charge := chargeOf(t, plan)
	if plan.Device != "cuda" || charge.GetDevice() != "cuda" || planning.DeviceOf(encoded) != "cuda" {
		t.Errorf("%+v, charge %v", plan, charge)
	}
	if plan.Seconds != 0 {
		t.Errorf("no figure of a GPU is known, and it takes %v s", plan.Seconds)
	}
	if len(plan.Warnings) != 1 || !strings.Contains(plan.Warnings[0], "evidence says nothing") {
		t.Errorf("warnings %q", plan.Warnings)
	}
	r.ConstantTime = true
	constant := mustPrice(t, r)
	if len(constant.Warnings) != 2 || !strings.Contains(constant.Warnings[1], "constant_time") {
		t.Errorf("in constant time: warnings %q", constant.Warnings)
	}
	// Where it computes changes nothing of what a run costs.
	if plan.NoiseMultiplier != onCPU.NoiseMultiplier || plan.Epsilon != onCPU.Epsilon || plan.Steps != onCPU.Steps || plan.GridExponent != onCPU.GridExponent {
		t.Errorf("%+v, on the CPU %+v", plan, onCPU)
	}
}

func TestADeviceThatIsNotOfferedIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		device  string
		offered []string
		says    string
	}{
		"a GPU where there is none":  {"cuda", nil, `"cuda" is not offered: this server computes on cpu`},
		"another one than there is":  {"mps", []string{"cuda"}, `"mps" is not offered: this server computes on cpu and cuda`},
		"in capitals":                {"CUDA", []string{"cuda"}, `"CUDA" is not offered`},
		"with a number":              {"cuda:1", []string{"cuda"}, `"cuda:1" is not offered`},
		"what would steer terminals": {"\x1b[31m", []string{"cuda"}, `"\x1b[31m" is not offered`},
		"a long one":                 {strings.Repeat("c", 200), nil, `"` + strings.Repeat("c", 80) + `" is not offered`},
	} {
		r := walkThrough()
		r.Device, r.Devices = test.device, test.offered
		_, err := planning.Price(r)
		if refusal.KindOf(err) != refusal.InvalidArgument || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "--cuda") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// SECURITY: verifiers print it, and two names of one device would be two charges of one run.
func TestAReceiptsChargeNamesDevicesInOneWay(t *testing.T) {
	plan := mustPrice(t, walkThrough())
	for device, right := range map[string]bool{"": true, "cuda": true, "cpu": false, "CUDA": false, "cuda:0": false, "cuda\nsigned": false, "mps": false} {
		plan.Device = device
		encoded, charge := chargeOf(t, plan)
		b := receipt.Body{Type: receipt.Reserve, Dataset: "d", Epsilon: plan.Epsilon, RunDelta: plan.Delta, Renyi: plan.Renyi, Charge: encoded}
		if err := planning.Agrees(b); (err == nil) != right {
			t.Errorf("%q: %v (%v)", device, err, charge)
		}
	}
	if device := planning.DeviceOf([]byte{0xff}); device != "" {
		t.Errorf("no charge is on %q", device)
	}
}
