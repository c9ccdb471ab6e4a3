package training

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// Get returns a run as it is now.
func (s *Service) Get(ctx context.Context, user, id string) (*bastionlabv1.Run, error) {
	row, _, err := s.find(ctx, user, id)
	if err != nil {
		return nil, err
	}
	return runOf(row, user)
}

// listingBytes bounds a listing of runs: it is one message, and a client takes no larger one than 16 MiB.
const listingBytes = 14 << 20

// List returns the user's own runs and those on the user's datasets, newest first; to the operator, all. Where they are more than one message
// holds, the oldest are left out: they are still found by their identifiers.
func (s *Service) List(ctx context.Context, user string) ([]*bastionlabv1.Run, error) {
	// First: a run that ends in between is read from its row or is still known here, and never shown as it was before its end.
	lives := s.allLive()
	rows, err := s.rows(ctx, user)
	if err != nil {
		return nil, err
	}
	runs := make([]*bastionlabv1.Run, 0, len(rows))
	for _, row := range rows {
		if l := lives[row.ID]; l != nil {
			row = l.state()
		}
		run, err := runOf(row, user)
		if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	return runs, nil
}

func (s *Service) allLive() map[string]*live {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.lives)
}

func (s *Service) rows(ctx context.Context, user string) ([]storage.RunRow, error) {
	if s.operates(user) {
		return s.Store.Runs(ctx, listingBytes)
	}
	return s.Store.RunsOf(ctx, user, listingBytes)
}

// Watch sends the run as it is now and then its latest state at every change, until it has ended or ctx is done. A slow receiver misses
// states, and never holds up the run.
func (s *Service) Watch(ctx context.Context, user, id string, send func(*bastionlabv1.Run) error) error {
	row, l, err := s.find(ctx, user, id)
	if err != nil {
		return err
	}
	if l == nil {
		return sendRow(row, user, send)
	}
	changed, leave := l.join()
	defer leave()
	for {
		row := l.state()
		if err := sendRow(row, user, send); err != nil || hasEnded(row) {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func sendRow(row storage.RunRow, user string, send func(*bastionlabv1.Run) error) error {
	run, err := runOf(row, user)
	if err != nil {
		return err
	}
	return send(run)
}

// Cancel ends a run for its author, or for the operator, and returns it as it ended. One that has ended stays as it is.
func (s *Service) Cancel(ctx context.Context, user, id string) (*bastionlabv1.Run, error) {
	row, l, err := s.find(ctx, user, id)
	if err != nil {
		return nil, err
	}
	if user != row.Scientist && !s.operates(user) {
		return nil, refusal.New(refusal.PermissionDenied, "ask the run's author to cancel it", "only its author may cancel a run")
	}
	if l == nil {
		return runOf(row, user)
	}
	s.interrupt(ctx, l, errCancelled)
	select {
	case <-l.ended:
		return runOf(l.state(), user)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Weights is a completed run's safetensors file. While it is sent, StillPermitted is to be asked whether its author may have more of it.
type Weights struct {
	File      io.ReadCloser
	SizeBytes int64
	SHA256    []byte

	StillPermitted func(ctx context.Context) error
}

// Weights opens the weights of a completed run for its author. The caller closes the file.
func (s *Service) Weights(ctx context.Context, user, id string) (Weights, error) {
	row, _, err := s.find(ctx, user, id)
	if err != nil {
		return Weights{}, err
	}
	if user != row.Scientist {
		return Weights{}, refusal.New(refusal.PermissionDenied, "ask the run's author", "only its author takes a run's weights home")
	}
	// PRIVACY: "completed" is written after the ledger settled the run, and by nothing else.
	if statusOf(row) != bastionlabv1.RunStatus_RUN_STATUS_COMPLETED || len(row.WeightsSHA256) == 0 {
		return Weights{}, refusal.New(refusal.InvalidArgument, "wait for a completed run", "only a completed run has weights, and a test has none")
	}
	// PRIVACY: judged now, not when the run was started: what an owner took back is not taken home.
	if err := s.mayTakeHome(ctx, row); err != nil {
		return Weights{}, err
	}
	file, err := s.Store.OpenBlob(weightsKind, row.ID)
	if err != nil {
		return Weights{}, err
	}
	still := func(ctx context.Context) error { return s.mayTakeHome(ctx, row) }
	return Weights{File: file, SizeBytes: row.WeightsBytes, SHA256: row.WeightsSHA256, StillPermitted: still}, nil
}

// find returns a run that the user may see, and its live part unless it has ended.
func (s *Service) find(ctx context.Context, user, id string) (storage.RunRow, *live, error) {
	l := s.live(id) // before the row is read: a run that ends in between is then found ended
	row, err := s.Store.Run(ctx, id)
	if errors.Is(err, storage.ErrNoRow) || err == nil && !s.mayBeSeen(row, user) {
		// A stranger cannot tell somebody's run from none.
		return storage.RunRow{}, nil, noSuchRun()
	}
	if err != nil {
		return storage.RunRow{}, nil, err
	}
	if l != nil {
		row = l.state()
	}
	return row, l, nil
}

func noSuchRun() error {
	return refusal.New(refusal.NotFound, "list your runs to see which there are", "there is no such run")
}

// mayBeSeen says who sees a run at all: its author, the owner of the data it is on, and whoever runs the machine.
func (s *Service) mayBeSeen(row storage.RunRow, user string) bool {
	return concerns(row, user) || s.operates(user)
}

func concerns(row storage.RunRow, user string) bool {
	return user == row.Scientist || user == row.DatasetOwner
}

func statusOf(row storage.RunRow) bastionlabv1.RunStatus { return bastionlabv1.RunStatus(row.Status) }

// runOf is a run as the user sees it.
func runOf(row storage.RunRow, user string) (*bastionlabv1.Run, error) {
	plan := &bastionlabv1.Plan{}
	if err := proto.Unmarshal(row.Plan, plan); err != nil {
		return nil, fmt.Errorf("decode the plan of a run: %w", err)
	}
	history, err := shownHistory(row)
	if err != nil {
		return nil, err
	}
	var result *bastionlabv1.TestResult
	// PRIVACY: "completed" is written after the ledger settled the run, and by nothing else.
	if len(row.Result) > 0 && statusOf(row) == bastionlabv1.RunStatus_RUN_STATUS_COMPLETED {
		result = &bastionlabv1.TestResult{}
		if err := proto.Unmarshal(row.Result, result); err != nil {
			return nil, fmt.Errorf("decode a test's result: %w", err)
		}
	}
	run := &bastionlabv1.Run{
		Id:            row.ID,
		ModelId:       row.ModelID,
		DatasetId:     row.DatasetID,
		Status:        statusOf(row),
		Plan:          plan,
		CreatedUnixMs: row.CreatedUnixMS,
		EndedUnixMs:   row.EndedUnixMS,
		Name:          row.Name,
		Description:   row.Description,
		Failure:       row.Failure,
		Spent:         row.Spent,
		StepsDone:     row.StepsDone,
		EpochsDone:    row.EpochsDone,
		Scientist:     row.Scientist,
		Mine:          row.Scientist == user,
		History:       history,
		Result:        result,
		Denial:        row.Denial,
	}
	if row.DatasetOwner == user {
		run.Interruptions = row.Interruptions
		run.Decides = statusOf(row) == bastionlabv1.RunStatus_RUN_STATUS_WAITING
	}
	return run, nil
}

// Receipts returns what the ledger signed about a run, to its author and the owner of its dataset.
func (s *Service) Receipts(ctx context.Context, user, id string) ([]receipt.Receipt, error) {
	row, _, err := s.find(ctx, user, id)
	if err != nil {
		return nil, err
	}
	if !concerns(row, user) { // it is seen by who runs the machine
		return nil, noSuchRun()
	}
	return s.Budget.ReceiptsOfRun(row.DatasetID, row.ID)
}
