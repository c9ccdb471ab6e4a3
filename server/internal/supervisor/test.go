package supervisor

import (
	"context"
	"os"
	"sync"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	"google.golang.org/protobuf/proto"
)

// Tester is a process that has built a program with its weights and waits for records to measure it on.
type Tester struct {
	launcher *Launcher
	session  *session

	closing sync.Once
}

// PrepareTest is Prepare for a test.
func (l *Launcher) PrepareTest(ctx context.Context, test *trainerv1.Test, program, weights *os.File) (*Tester, error) {
	request := &trainerv1.ToTrainer{Frame: &trainerv1.ToTrainer_Test{Test: test}}
	s, err := l.prepare(ctx, "test", CPU, 0, request, test.GetHasWeights(), program, weights)
	if err != nil {
		return nil, err
	}
	return &Tester{launcher: l, session: s}, nil
}

// Ended is closed when there is no process any more: if that is before Run, the test can still be given back.
func (t *Tester) Ended() <-chan struct{} { return t.session.done }

// Run gives the process the records and waits for the noised sum. From the moment it is called every failure is ErrTrainingFailed, the end
// of ctx included; the process has ended when it returns.
func (t *Tester) Run(ctx context.Context, data *trainerv1.Data, records *os.File) (*trainerv1.Tested, error) {
	tested, err := t.run(ctx, data, records)
	if err != nil {
		t.session.stop()
		// PRIVACY: neither returned nor logged: what happened may be a fact about a record.
		return nil, ErrTrainingFailed
	}
	t.session.finish()
	return tested, nil
}

func (t *Tester) run(ctx context.Context, data *trainerv1.Data, records *os.File) (*trainerv1.Tested, error) {
	window := t.launcher.config.StallWindow
	request := &trainerv1.ToTrainer{Frame: &trainerv1.ToTrainer_Data{Data: data}}
	if err := t.session.send(ctx, window, request, records); err != nil {
		return nil, err
	}
	for {
		frame, err := t.session.receive(ctx, window)
		switch {
		case err != nil:
			return nil, err
		case frame.GetTested() != nil:
			return frame.GetTested(), nil
		case frame.GetProgress() == nil || !proto.Equal(frame.GetProgress(), &trainerv1.Progress{}):
			// PRIVACY: a sign of life says nothing else.
			return nil, errRubbish
		}
	}
}

// Close ends the process, if it has not ended, and reaps it.
func (t *Tester) Close() error {
	t.closing.Do(t.session.close)
	return nil
}
