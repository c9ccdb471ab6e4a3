//go:build linux

package supervisor

import (
	"log/slog"
	"os"
	"strings"
	"testing"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

func trainOn(device string) *trainerv1.Train {
	request := train()
	request.Settings.Device = device
	return request
}

// withGPU starts fakes of one behaviour on the CPU and of another on the GPU.
func withGPU(t *testing.T, onCPU, onGPU string) (*Launcher, *logged) {
	t.Helper()
	l, log := launcher(t, onCPU)
	l.config.CUDAPath = disguise(t, onGPU)
	return l, log
}

func TestARunIsPreparedByTheProgramOfItsDevice(t *testing.T) {
	l, _ := withGPU(t, "refuses", "trains-on-cuda")
	trainer, err := l.Prepare(soon(t), trainOn(CUDA), openFile(t, "archive"), nil)
	if err != nil {
		t.Fatal(err)
	}
	trainer.Close()
	for _, device := range []string{"", CPU} {
		if _, err := l.Prepare(soon(t), trainOn(device), openFile(t, "archive"), nil); refusal.KindOf(err) != refusal.IncompatibleModel {
			t.Errorf("device %q: %v, want the refusal of the trainer for the CPU", device, err)
		}
	}
}

// Archives are read and weights are tested on the CPU, whatever else there is.
func TestIntakeAndTestsStayOnTheCPU(t *testing.T) {
	l, _ := withGPU(t, "refuses", "dies-at-once")
	if _, err := l.Intake(soon(t), intake(), openFile(t, "archive"), openFile(t, "")); refusal.KindOf(err) != refusal.IncompatibleModel {
		t.Errorf("intake: %v", err)
	}
	test := &trainerv1.Test{Program: testProgram(), Settings: &trainerv1.TestSettings{}, HasWeights: true}
	if _, err := l.PrepareTest(soon(t), test, openFile(t, "program"), openFile(t, "weights")); refusal.KindOf(err) != refusal.IncompatibleModel {
		t.Errorf("test: %v", err)
	}
}

// PRIVACY: a run that the owner permitted on one device is not computed on another because the wrong program lies there.
func TestATrainerOfAnotherDeviceIsRefused(t *testing.T) {
	for _, test := range []struct{ onCPU, onGPU, device string }{{"trains-on-cuda", "trains", CPU}, {"trains", "trains", CUDA}} {
		l, log := withGPU(t, test.onCPU, test.onGPU)
		if _, err := l.Prepare(soon(t), trainOn(test.device), openFile(t, "archive"), nil); err == nil {
			t.Fatalf("%s: a trainer of another device was taken", test.device)
		}
		if !strings.Contains(log.String(), "was started to compute on "+test.device) {
			t.Errorf("log: %s", log)
		}
	}
}

func TestADeviceWithoutAProgramIsRefused(t *testing.T) {
	for _, device := range []string{CUDA, "mps"} {
		l, log := launcher(t, "trains")
		if _, err := l.Prepare(soon(t), trainOn(device), openFile(t, "archive"), nil); err == nil {
			t.Fatalf("%s: a run was prepared", device)
		}
		if !strings.Contains(log.String(), "no trainer that computes on") {
			t.Errorf("log: %s", log)
		}
	}
}

// What one device's trainer is confined by says nothing of the other's.
func TestEachDeviceHasItsOwnBaseline(t *testing.T) {
	l, log := withGPU(t, "judges", "trains-on-cuda")
	if _, err := l.Intake(soon(t), intake(), openFile(t, "archive"), openFile(t, "")); err != nil {
		t.Fatal(err)
	}
	l.baselines[CPU].active = append(l.baselines[CPU].active, "landlock")
	trainer, err := l.Prepare(soon(t), trainOn(CUDA), openFile(t, "archive"), nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	trainer.Close()
	l.baselines[CUDA].active = append(l.baselines[CUDA].active, "seccomp")
	if _, err := l.Prepare(soon(t), trainOn(CUDA), openFile(t, "archive"), nil); err == nil || !strings.Contains(log.String(), "lost its layer seccomp") {
		t.Errorf("a weaker sandbox was taken: %v\n%s", err, log)
	}
}

// Who switches a GPU on learns why it does not work: at the start, when there is nothing private yet.
func TestAProbeSaysWhyTheTrainerEnded(t *testing.T) {
	for behaviour, want := range map[string]string{
		"dies-with-words": "the trainer ended: libtorch finds no GPU", "does-not-compute": "the driver cannot open its files",
	} {
		l, _ := withGPU(t, "trains", behaviour)
		if _, err := l.Probe(soon(t), CUDA); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", behaviour, err)
		}
	}
}

func TestNewLooksAtBothPrograms(t *testing.T) {
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	_, err = New(Config{Path: executable, CUDAPath: "/etc/passwd", Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "trainer for the GPU: /etc/passwd is no program") {
		t.Errorf("%v", err)
	}
}
