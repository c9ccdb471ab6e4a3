package training

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// hear takes the loss of an epoch and holds it back. Lists in protobuf's encoding are joined by putting one behind the other.
// PRIVACY: an epoch that is repeated is noised anew, and two losses of it would cost more than one. So a loss gets into the run's row together
// with the state after its epoch, or with the weights, and what an attempt did not get so far ends with it. All else that the trainer tells
// on its way is a sign of life; how far a run is, is shown when a state was kept.
func (s *states) hear(progress *trainerv1.Progress) {
	if progress.Loss == nil {
		return
	}
	steps := s.schedule.StepsOfEpoch(progress.GetStepsDone())
	encoded, err := proto.Marshal(&bastionlabv1.History{Epochs: []*bastionlabv1.EpochMetrics{{
		Epoch: progress.GetEpochsDone(), Steps: steps, Loss: progress.GetLoss(), StandardError: s.live.order.lossError(steps),
	}}})
	if err != nil {
		return // a history without this epoch
	}
	s.pending = append(s.pending, encoded...)
}

// withPending is the history with what was held back.
func (s *states) withPending(history []byte) []byte {
	return append(history[:len(history):len(history)], s.pending...)
}

// followed is the history of the epochs that ended with the row's state or before it. Their steps, one after the other, are those of the run.
func followed(row storage.RunRow) []byte {
	history := &bastionlabv1.History{}
	if row.StateID == "" || proto.Unmarshal(row.History, history) != nil {
		return row.History // of a release that kept no states
	}
	steps, kept := int64(0), 0
	for kept < len(history.GetEpochs()) && steps+history.GetEpochs()[kept].GetSteps() <= row.StateSteps {
		steps += history.GetEpochs()[kept].GetSteps()
		kept++
	}
	history.Epochs = history.GetEpochs()[:kept]
	encoded, err := proto.Marshal(history)
	if err != nil {
		return nil
	}
	return encoded
}

// shownHistory is what may be seen of a run's losses: while it is under way, no more than what its coarse progress tells.
// PRIVACY: when an epoch ended could otherwise be seen more exactly by its loss than by its steps.
func shownHistory(row storage.RunRow) (*bastionlabv1.History, error) {
	history := &bastionlabv1.History{}
	if err := proto.Unmarshal(row.History, history); err != nil {
		return nil, fmt.Errorf("decode the history of a run: %w", err)
	}
	shown := 0
	for shown < len(history.GetEpochs()) && (hasEnded(row) || history.GetEpochs()[shown].GetEpoch() <= row.EpochsDone) {
		shown++
	}
	history.Epochs = history.GetEpochs()[:shown]
	return history, nil
}
