package trainer

import (
	"errors"
	"testing"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	"github.com/bastionlab/bastionlab/server/internal/program"
)

func TestATrialMakesPrivateSteps(t *testing.T) {
	engine := &fakeEngine{}
	operators, err := program.Operators()
	if err != nil {
		t.Fatal(err)
	}
	process := &Process{Engine: engine, Operators: operators}
	if err := process.trial(); err != nil {
		t.Fatal(err)
	}
	if len(engine.rehearsed) != 1 || engine.steps != rehearsedSteps || len(engine.noise) != rehearsedSteps || !engine.training.Private {
		t.Errorf("rehearsed %v, %d steps, training %+v", engine.rehearsed, engine.steps, engine.training)
	}
	graph, tensors, _ := trialProgram()
	if err := (program.Canonical{Graph: graph, Tensors: tensors}).Judge(operators, graph.GetSchema(), graph.GetLoss()); err != nil {
		t.Errorf("the trial's program is none that a run may have: %v", err)
	}
}

// A device that does not compute in the closed sandbox is told of, and nothing is attempted that could hide it.
func TestADeviceThatDoesNotComputeIsToldOf(t *testing.T) {
	broken := &Failure{Status: Internal, Reason: "the driver cannot open its files"}
	for name, engine := range map[string]*fakeEngine{
		"building": {buildErr: broken}, "rehearsing": {rehearseErr: broken}, "training": {trainErr: broken},
		"a pass": {rehearsedPassErr: broken}, "a step": {rehearsedStepErr: broken},
	} {
		t.Run(name, func(t *testing.T) {
			s := play(t, Probe, engine)
			if fault := s.receive().GetFault(); fault.GetCode() != trainerv1.Fault_CODE_INTERNAL || fault.GetReason() != broken.Reason {
				t.Fatalf("fault: %v", fault)
			}
			if err := s.end(); !errors.Is(err, broken) {
				t.Errorf("ended with %v", err)
			}
		})
	}
}

// The engine takes what a device throws in a pass for a record that fails. There is none: it is told of, and no run is begun on such a device.
func TestAPassOfZerosThatFailsIsTheDevices(t *testing.T) {
	s := play(t, Probe, &fakeEngine{rehearsedPassFails: true})
	if fault := s.receive().GetFault(); fault.GetCode() != trainerv1.Fault_CODE_INTERNAL || fault.GetReason() != "a pass over a record of zeros fails on the device" {
		t.Fatalf("fault: %v", fault)
	}
	for device, code := range map[string]trainerv1.Fault_Code{"cuda": trainerv1.Fault_CODE_INCOMPATIBLE_MODEL, program.CPU: 0} {
		payload := payloadOf(t, nil)
		s := play(t, Train, &fakeEngine{device: device, rehearsedPassFails: true})
		s.sendTrain(&trainerv1.Train{Program: programOf(payload), Settings: settings(func(x *trainerv1.Settings) { x.Device = device })}, sealed(t, payload))
		if frame := s.receive(); frame.GetFault().GetCode() != code || (frame.GetPrepared() == nil) != (code != 0) {
			t.Errorf("device %q: %v", device, frame)
		}
	}
}

// A run is computed where it was to be computed: a trainer for GPUs takes none that is to be computed on the CPU.
func TestATrainerForGPUsTakesRunsForGPUsOnly(t *testing.T) {
	for device, taken := range map[string]bool{"cuda": true, "cpu": false, "": false} {
		payload := payloadOf(t, nil)
		s := play(t, Train, &fakeEngine{device: "cuda"})
		s.sendTrain(&trainerv1.Train{Program: programOf(payload), Settings: settings(func(x *trainerv1.Settings) { x.Device = device })}, sealed(t, payload))
		if frame := s.receive(); (frame.GetPrepared() != nil) != taken {
			t.Errorf("device %q: %v", device, frame)
		}
	}
}
