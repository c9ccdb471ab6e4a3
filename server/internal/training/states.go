package training

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	"github.com/bastionlab/bastionlab/server/internal/storage"
	"github.com/bastionlab/bastionlab/server/internal/trainer/schedule"
)

// stateKind names the blobs that hold what an epoch begins with: parameters, what the optimizer remembers, the samples of its steps.
// PRIVACY: which records were sampled is nobody's to know. A state is encrypted where it lies, is given to trainers of its own run only, and is
// removed when the run has ended. Nothing of it is logged.
const stateKind = "state"

// states makes the states of one attempt durable. Its methods are called by the goroutine that executes the run.
type states struct {
	service  *Service
	live     *live
	schedule schedule.Schedule
	file     *os.File // what the trainer writes the next one into
	pending  []byte   // the loss of the epoch that ended last, as a bastionlab.v1.History, until the state after it is durable
	seen     coarse
}

func (s *Service) newStates(l *live) (*states, error) {
	file, err := storage.NewMemfd(stateKind)
	if err != nil {
		return nil, err
	}
	settings := l.order.train.GetSettings()
	return &states{
		service: s, live: l, schedule: schedule.Of(settings), file: file,
		seen: coarse{steps: l.order.plan.GetSteps(), epochEnds: settings.GetEpochEnds(), interval: s.ProgressInterval, told: l.state().StepsDone},
	}, nil
}

func (s *states) close() {
	if s.file != nil {
		s.file.Close()
	}
}

// keep makes a state durable, then shows how far the run is, and returns the file for the next state; nil after the last.
// PRIVACY: nothing of an epoch is shown before the state after it is durable, its loss included: an epoch that is repeated has told nobody
// anything.
func (s *states) keep(ctx context.Context, announced *trainerv1.State) (*os.File, error) {
	epoch, ok := s.schedule.EpochFrom(announced.GetStepsDone())
	if !ok {
		return nil, errors.New("no epoch begins there")
	}
	// SECURITY: from here on the trainer cannot change what is looked at and kept.
	if err := storage.SealMemfd(s.file); err != nil {
		return nil, err
	}
	if info, err := s.file.Stat(); err != nil || info.Size() != announced.GetStateBytes() || info.Size() == 0 {
		return nil, errors.Join(errors.New("the state has another size than announced"), err)
	}
	row := s.live.state()
	kept, err := s.write(ctx, row, announced)
	if err != nil {
		return nil, err
	}
	if steps, epochs, changed := s.seen.tell(kept.StateSteps, s.service.Now()); changed {
		kept.StepsDone, kept.EpochsDone = steps, epochs
	}
	kept.History = s.withPending(kept.History)
	// PRIVACY: an interruption does not end this halfway: a write that was told to have failed may be on disk, with a loss in it.
	if err := s.service.Store.UpdateRun(context.WithoutCancel(ctx), kept); err != nil {
		// Whether the row is written is not known, so both states stay: the next start removes the one that no row names.
		s.live.stateUnknown = true
		return nil, err
	}
	s.pending = nil
	s.live.show(kept)
	s.service.removeState(ctx, row.ID, row.StateID)
	s.file.Close()
	s.file = nil
	if epoch.End == s.schedule.Steps() {
		return nil, nil
	}
	s.file, err = storage.NewMemfd(stateKind)
	return s.file, err
}

// write makes the blob. Its name is of this run, attempt and epoch alone, and the name is sealed into it.
func (s *states) write(ctx context.Context, row storage.RunRow, announced *trainerv1.State) (storage.RunRow, error) {
	row.StateID = fmt.Sprintf("%sa%ds%d", row.ID, row.Attempts, announced.GetStepsDone())
	// PRIVACY: for the dataset's key: it tells which records were sampled, and goes when they go.
	blob, err := s.service.Store.CreateDatasetBlob(ctx, row.DatasetID, stateKind, row.StateID)
	if err != nil {
		return row, err
	}
	defer blob.Abort() // does nothing once committed
	if _, err := io.Copy(blob, io.NewSectionReader(s.file, 0, announced.GetStateBytes())); err != nil {
		return row, err
	}
	if row.StateSHA256, row.StateBytes, err = blob.Commit(); err != nil {
		return row, err
	}
	row.StateSteps = announced.GetStepsDone()
	return row, nil
}

// removeState removes a state that is needed no more. One that stays is removed at the next start.
func (s *Service) removeState(ctx context.Context, run, state string) {
	if state == "" {
		return
	}
	if err := s.Store.DeleteBlob(stateKind, state); err != nil {
		s.Log.ErrorContext(ctx, "cannot remove a state that is needed no more", "run", run, "error", err)
	}
}

// forgetState is for a run that will not be gone on with.
func (s *Service) forgetState(ctx context.Context, row *storage.RunRow) {
	s.removeState(ctx, row.ID, row.StateID)
	unnameState(row)
}

// unnameState takes the state out of a row; the blob is removed or swept.
func unnameState(row *storage.RunRow) {
	row.StateID, row.StateSHA256, row.StateBytes, row.StateSteps = "", nil, 0, 0
}

// sweepStates removes states that no run will go on from.
func (s *Service) sweepStates(ctx context.Context) error {
	rows, err := s.Store.UnfinishedRuns(ctx)
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, row := range rows {
		wanted[row.StateID] = true
	}
	return s.Store.SweepBlobs(stateKind, func(id string) (bool, error) { return wanted[id], nil })
}

// nameOf binds a run's states to it and to all that its trainers are told.
func nameOf(row storage.RunRow) []byte {
	digest := sha256.New()
	fmt.Fprintf(digest, "bastionlab state 1\n%s\n", row.ID)
	digest.Write(row.Train)
	return digest.Sum(nil)
}
