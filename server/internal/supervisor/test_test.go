//go:build linux

package supervisor

import (
	"testing"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

func measured() *trainerv1.Test {
	return &trainerv1.Test{Program: &trainerv1.Program{PayloadBytes: 7}, Settings: &trainerv1.TestSettings{Slots: 3, Metric: "accuracy"}}
}

func TestATestGivesOneNumber(t *testing.T) {
	l, log := launcher(t, "tests")
	tester, err := l.PrepareTest(soon(t), measured(), openFile(t, "program"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tester.Close()
	tested, err := tester.Run(soon(t), &trainerv1.Data{}, openFile(t, "r"))
	if err != nil || tested.GetSum() != -7 {
		t.Errorf("got %v, %v", tested, err)
	}
	// PRIVACY: what a process with records says to standard error is heard by nobody.
	if err := tester.Close(); err != nil || log.String() != "" {
		t.Errorf("%v, logged: %s", err, log)
	}
}

func TestWithTheDataEveryFailureOfATestIsTheSame(t *testing.T) {
	for _, behaviour := range []string{
		"tests-and-speaks", "tests-with-loss", "finishes-a-test", "faults-a-test", "dies-in-a-test", "hangs-in-a-test", "dies-before-the-data",
	} {
		t.Run(behaviour, func(t *testing.T) {
			l, log := launcher(t, behaviour)
			tester, err := l.PrepareTest(soon(t), measured(), openFile(t, "program"), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer tester.Close()
			if tested, err := tester.Run(soon(t), &trainerv1.Data{}, openFile(t, "r")); err != ErrTrainingFailed || tested != nil {
				t.Errorf("got %v, %v", tested, err)
			}
			select {
			case <-tester.Ended():
			default:
				t.Error("the process still runs")
			}
			if err := tester.Close(); err != nil || log.String() != "" {
				t.Errorf("%v, logged: %s", err, log)
			}
		})
	}
}

func TestATestThatIsRefusedBeforeTheDataSaysWhy(t *testing.T) {
	l, _ := launcher(t, "refuses")
	_, err := l.PrepareTest(soon(t), measured(), openFile(t, "program"), nil)
	if refusal.KindOf(err) != refusal.IncompatibleModel {
		t.Errorf("got %v", err)
	}
	announced := measured()
	announced.HasWeights = true
	if _, err := l.PrepareTest(soon(t), announced, openFile(t, "program"), nil); err == nil {
		t.Error("weights that were announced and not given are no error")
	}
}
