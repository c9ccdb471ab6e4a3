package planning

import (
	"fmt"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
)

// smallTravel is the learning rate times steps below which weights hardly move: Adam moves a weight by at most about lr a step, and SGD
// all of them together by lr*max_grad_norm. Weights of usual models are of the order 0.01 to 0.1.
const smallTravel = 0.02

func warnings(p Plan, r Request) []string {
	var said []string
	if !p.Private {
		said = append(said, "training without noise: nothing protects the records, and from then on the dataset's budget counts as infinite")
	}
	if p.Device != "" {
		said = append(said, "on "+p.Device+" the records, and all that is computed of them, lie in a GPU's memory, of which this server's evidence says nothing")
	}
	if p.Device != "" && p.PassesPerStep > 0 {
		said = append(said, "constant_time makes as many passes in every step on "+p.Device+" too; whether a pass takes as long for any record was not looked at there")
	}
	if p.Accountant == string(accounting.RDP) {
		said = append(said, "the loss distribution's numerics give out at this eps and delta; a coarser, safe bound was used, which asks for more noise")
	}
	if travel := r.LearningRate * float64(p.Steps); travel < smallTravel {
		said = append(said, fmt.Sprintf("the learning rate times the number of steps is %.2g: no weight can move much further than that; raise lr or nb_epochs", travel))
	}
	return said
}
