package training

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
)

func TestPricesOfOneUserWaitForEachOtherAndNotOthersForThem(t *testing.T) {
	all := newTurns(2)
	enter := func(user string) func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		leave, err := all.enter(ctx, user)
		if err != nil {
			t.Fatalf("%s: %v", user, err)
		}
		return leave
	}
	refused := func(user string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if _, err := all.enter(ctx, user); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", user, err)
		}
	}
	first := enter("alice")
	refused("alice") // the second place stays free
	bob := enter("bob")
	refused("carol")
	refused("alice")
	first()
	enter("carol")()
	second := enter("alice")
	second()
	bob()
	if len(all.of) != 0 || len(all.places) != 0 {
		t.Errorf("left: %v, %d places", all.of, len(all.places))
	}
}

func TestAPriceIsSolvedForOnce(t *testing.T) {
	known := newMemory(2)
	ask := accountant{t.Context().Err, known}
	first, err := ask.Calibrate(0.01, 100, 2, 1e-5)
	if err != nil {
		t.Fatal(err)
	}
	if want, err := accounting.Calibrate(0.01, 100, 2, 1e-5); err != nil || first != want {
		t.Errorf("%+v, want %+v, %v", first, want, err)
	}
	// What is remembered is what is answered, and only to the very same question.
	marked := accounting.Calibration{NoiseMultiplier: 17}
	known.places[question{true, 0.01, 100, 2, 1e-5}].Value.(*answered).answer = marked
	if again, err := ask.Calibrate(0.01, 100, 2, 1e-5); err != nil || again != marked {
		t.Errorf("asked again: %+v, %v", again, err)
	}
	for _, other := range []question{{true, 0.02, 100, 2, 1e-5}, {true, 0.01, 101, 2, 1e-5}, {true, 0.01, 100, 2.5, 1e-5}, {true, 0.01, 100, 2, 2e-5}} {
		if got, err := ask.Calibrate(other.sampleRate, other.steps, other.wanted, other.delta); err != nil || got == marked {
			t.Errorf("%+v: %+v, %v", other, got, err)
		}
	}
	if bound, err := ask.EpsilonOf([]accounting.Steps{{SampleRate: 0.01, NoiseMultiplier: 2, Count: 100}}, 1e-5); err != nil || bound == 17 {
		t.Errorf("the epsilon of noise 2: %v, %v", bound, err)
	}
	if known.recent.Len() != 2 || len(known.places) != 2 {
		t.Errorf("%d answers are kept", known.recent.Len())
	}
}

func TestAPriceEndsWhenItsCallerHasGone(t *testing.T) {
	w := newWorld(t)
	d := w.upload(6)
	m := w.insertModel(scientist, d)
	ctx, leave := context.WithCancel(t.Context())
	ask := accountant{ctx.Err, w.known}
	if _, err := ask.Calibrate(0.125, 16, 2, 1e-5); err != nil {
		t.Fatal(err)
	}
	leave()
	if _, err := ask.Calibrate(0.125, 16, 2, 1e-5); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	r := request(m, d, 2)
	r.BatchSize = nil // to be chosen: several candidates
	if _, err := w.Plan(ctx, scientist, r); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
