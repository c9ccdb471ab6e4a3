package training

import (
	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// release keeps the loss of an epoch, to be shown.
func (s *Service) release(l *live, epoch, steps int64, loss float64) {
	encoded, err := proto.Marshal(&bastionlabv1.History{Epochs: []*bastionlabv1.EpochMetrics{{
		Epoch: epoch, Steps: steps, Loss: loss, StandardError: l.order.priced.LossError(steps),
	}}})
	if err != nil {
		return // a history without this epoch
	}
	// Lists in protobuf's encoding are joined by putting one behind the other.
	l.released = append(l.released[:len(l.released):len(l.released)], encoded...)
}

// showReleased is the one place where losses that were released become visible. They come with progress that is told coarsely, or when an
// epoch ended could be seen more exactly by its loss than by its steps.
func showReleased(l *live, row storage.RunRow) storage.RunRow {
	row.History = l.released
	return row
}
