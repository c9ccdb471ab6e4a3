package supervisor

import (
	"context"
	"fmt"
	"os"
	"sync"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	"github.com/bastionlab/bastionlab/server/internal/trainer/schedule"
	"google.golang.org/protobuf/proto"
)

// Trainer is a process that has built a program and waits for records.
type Trainer struct {
	launcher *Launcher
	session  *session
	schedule schedule.Schedule

	closing sync.Once
}

// outputAllowance is what the weights may have beyond the parameters, which lie in the program, each once: names, shapes, alignment.
const outputAllowance = 16 << 20

// Prepare starts a process and has it build the program, rehearse and set up a run: what can fail without records fails here, before the charge.
// Errors are refusals, unless ctx has ended. ctx governs the preparation only; Close ends the process.
func (l *Launcher) Prepare(ctx context.Context, train *trainerv1.Train, program, initial *os.File) (*Trainer, error) {
	payloads := []*os.File{program}
	if initial != nil {
		payloads = append(payloads, initial)
	}
	if train.GetHasInitialWeights() != (initial != nil) {
		return nil, fmt.Errorf("%s: initial weights are announced and given, or neither", preparing.name)
	}
	request := &trainerv1.ToTrainer{Frame: &trainerv1.ToTrainer_Train{Train: train}}
	s, err := l.prepare(ctx, "train", train.GetProgram().GetPayloadBytes()+outputAllowance, request, payloads)
	if err != nil {
		return nil, err
	}
	return &Trainer{launcher: l, session: s, schedule: schedule.New(train.GetSettings().GetEpochEnds(), train.GetSettings().GetLossBound() > 0)}, nil
}

// prepare starts a process in a role that gets records, and has it do all that can be done without them.
func (l *Launcher) prepare(ctx context.Context, role string, outputBytes int64, request *trainerv1.ToTrainer, payloads []*os.File) (*session, error) {
	s, _, err := l.open(ctx, role, outputBytes)
	if err != nil {
		return nil, l.refuse(ctx, preparing, err)
	}
	frame, err := s.ask(ctx, l.config.StallWindow, request, payloads...)
	if err == nil && frame.GetPrepared() == nil {
		err = errRubbish
	}
	if err != nil {
		s.close()
		return nil, l.refuse(ctx, preparing, err)
	}
	return s, nil
}

// Ended is closed when there is no process any more: if that is before Run, the run can still be given back.
func (t *Trainer) Ended() <-chan struct{} { return t.session.done }

// Run gives the process the records and waits for the trained parameters in output. progress hears each mark of the schedule once.
// From the moment it is called every failure is ErrTrainingFailed, the end of ctx included; the process has ended when it returns.
func (t *Trainer) Run(ctx context.Context, data *trainerv1.Data, records, output *os.File, progress func(*trainerv1.Progress)) (*trainerv1.Finished, error) {
	finished, err := t.run(ctx, data, records, output, progress)
	if err != nil {
		t.session.stop()
		// PRIVACY: neither returned nor logged: what happened may be a fact about a record.
		return nil, ErrTrainingFailed
	}
	// The output is looked at when nobody can write to it any more.
	t.session.finish()
	if !holds(output, finished.GetOutputBytes()) {
		return nil, ErrTrainingFailed
	}
	return finished, nil
}

func (t *Trainer) run(ctx context.Context, data *trainerv1.Data, records, output *os.File, progress func(*trainerv1.Progress)) (*trainerv1.Finished, error) {
	window := t.launcher.config.StallWindow
	request := &trainerv1.ToTrainer{Frame: &trainerv1.ToTrainer_Data{Data: data}}
	if err := t.session.send(ctx, window, request, records, output); err != nil {
		return nil, err
	}
	last := &trainerv1.Progress{}
	for {
		// Every frame extends the window: slow is allowed, silent is not.
		frame, err := t.session.receive(ctx, window)
		if err != nil {
			return nil, err
		}
		switch {
		case frame.GetProgress() != nil:
			next := frame.GetProgress()
			// PRIVACY: a trainer that was taken over must not be able to write records into its progress.
			if !t.schedule.Follows(last, next) {
				return nil, errRubbish
			}
			if !proto.Equal(last, next) && progress != nil {
				progress(next)
			}
			last = next
		case frame.GetFinished() != nil:
			return frame.GetFinished(), nil
		default:
			return nil, errRubbish
		}
	}
}

func holds(output *os.File, size int64) bool {
	info, err := output.Stat()
	return err == nil && size > 0 && info.Size() == size
}

// Close ends the process, if it has not ended, and reaps it.
func (t *Trainer) Close() error {
	t.closing.Do(t.session.close)
	return nil
}
