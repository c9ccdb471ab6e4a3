package storage

import (
	"context"
	"errors"
	"testing"
	"time"
)

// The driver says of a statement that it was cancelled also where it has written; a caller would conclude that it has not.
func TestAnUpdateThatFailedForItsCallersLeavingIsNotWritten(t *testing.T) {
	s, err := Open(t.Context(), t.TempDir(), File)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r := RunRow{ID: "r", ModelID: "m"}
	if err := errors.Join(s.InsertModel(t.Context(), ModelRow{ID: "m"}), s.InsertRun(t.Context(), r)); err != nil {
		t.Fatal(err)
	}
	written, failed := 0, 0
	for i := range 400 {
		r.StateSteps = int64(i + 1)
		ctx, cancel := context.WithCancel(t.Context())
		wait := time.Duration(i%1500) * time.Microsecond
		go func() { time.Sleep(wait); cancel() }()
		err := s.UpdateRun(ctx, r)
		cancel()
		if err == nil {
			continue
		}
		failed++
		now, err := s.Run(t.Context(), "r")
		if err != nil {
			t.Fatal(err)
		}
		if now.StateSteps == r.StateSteps {
			written++
		}
	}
	if written > 0 {
		t.Errorf("of %d updates that failed because their caller left, %d were written", failed, written)
	}
}
