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

const (
	// outputAllowance is what a file of parameters may have beyond them: names, shapes, alignment.
	outputAllowance = 16 << 20
	// stateCopies is how often the parameters lie in a state, themselves and what an optimizer remembers of each. In the program they lie once.
	stateCopies = 4
)

// outputBytes is the most that a trainer writes into one file: the weights, or a state.
func outputBytes(train *trainerv1.Train, plan schedule.Schedule) int64 {
	settings := train.GetSettings()
	return stateCopies*train.GetProgram().GetPayloadBytes() + plan.SampleBytes(settings.GetInclusionThreshold(), settings.GetSlots()) + outputAllowance
}

// Prepare starts a process and has it build the program, rehearse and set up a run: what can fail without records fails here, before the charge.
// Errors are refusals, unless ctx has ended. ctx governs the preparation only; Close ends the process.
func (l *Launcher) Prepare(ctx context.Context, train *trainerv1.Train, program, initial *os.File) (*Trainer, error) {
	request := &trainerv1.ToTrainer{Frame: &trainerv1.ToTrainer_Train{Train: train}}
	plan := schedule.Of(train.GetSettings())
	s, err := l.prepare(ctx, "train", deviceOf(train.GetSettings()), outputBytes(train, plan), request, train.GetHasInitialWeights(), program, initial)
	if err != nil {
		return nil, err
	}
	return &Trainer{launcher: l, session: s, schedule: plan}, nil
}

// prepare starts a process in a role that gets records, and has it do all that can be done without them. weights are nil unless they are
// announced in the request.
func (l *Launcher) prepare(ctx context.Context, role, device string, outputBytes int64, request *trainerv1.ToTrainer, announced bool, program, weights *os.File) (*session, error) {
	if announced != (weights != nil) {
		return nil, fmt.Errorf("%s: weights are announced and given, or neither", preparing.name)
	}
	payloads := []*os.File{program}
	if weights != nil {
		payloads = append(payloads, weights)
	}
	s, _, err := l.open(ctx, role, device, outputBytes)
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

// Run gives the process its files - the records, the output, a file for the first state and, where it goes on from one, a state - and waits
// for the trained parameters in the output. progress hears each mark of the schedule once; keep hears of the state before each epoch, which
// begins when it has returned. From the moment Run is called every failure is ErrTrainingFailed, the end of ctx included; the process has
// ended when it returns.
func (t *Trainer) Run(ctx context.Context, data *trainerv1.Data, files []*os.File, progress func(*trainerv1.Progress), keep Keep) (*trainerv1.Finished, error) {
	finished, err := t.run(ctx, data, files, progress, keep)
	if err != nil {
		t.session.stop()
		// PRIVACY: neither returned nor logged: what happened may be a fact about a record.
		return nil, ErrTrainingFailed
	}
	// The output is looked at when nobody can write to it any more.
	t.session.finish()
	if !holds(files[outputFile], finished.GetOutputBytes()) {
		return nil, ErrTrainingFailed
	}
	return finished, nil
}

// outputFile is where the output is among the files of a run.
const outputFile = 1

func (t *Trainer) run(ctx context.Context, data *trainerv1.Data, files []*os.File, progress func(*trainerv1.Progress), keep Keep) (*trainerv1.Finished, error) {
	window := t.launcher.config.StallWindow
	epochs, err := newEpochs(t.schedule, len(data.GetResumedSha256()) > 0, data.GetResumedSteps())
	if err != nil {
		return nil, err
	}
	request := &trainerv1.ToTrainer{Frame: &trainerv1.ToTrainer_Data{Data: data}}
	if err := t.session.send(ctx, window, request, files...); err != nil {
		return nil, err
	}
	for {
		// Every frame extends the window: slow is allowed, silent is not.
		frame, err := t.session.receive(ctx, window)
		if err != nil {
			return nil, err
		}
		switch last := epochs.last; {
		case frame.GetProgress() != nil:
			next := frame.GetProgress()
			if !epochs.progressed(next) {
				return nil, errRubbish
			}
			if !proto.Equal(last, next) && progress != nil {
				progress(next)
			}
		case frame.GetState() != nil:
			if err := t.keep(ctx, frame.GetState(), epochs, keep); err != nil {
				return nil, err
			}
		case frame.GetFinished() != nil && epochs.ended():
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
