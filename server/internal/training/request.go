package training

import (
	"fmt"
	"math"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// maxEpochs bounds the list of epochs that a trainer is told.
const maxEpochs = 10_000

// maxRequestBytes is more than the few numbers and identifiers of a request take.
const maxRequestBytes = 4 << 10

// checkRequest refuses what no trainer takes. The planner judges the rest.
func checkRequest(request *bastionlabv1.TrainingRequest) error {
	if request.GetNbEpochs() > maxEpochs {
		return invalid("train for fewer epochs", "a run may have %d epochs, %v were asked for", maxEpochs, request.GetNbEpochs())
	}
	if size := proto.Size(request); size > maxRequestBytes {
		return invalid("use the client of this server's release", "the request takes %d bytes, at most %d are taken", size, maxRequestBytes)
	}
	return checkOptimizer(request.GetOptimizer())
}

func checkOptimizer(optimizer *bastionlabv1.Optimizer) error {
	switch kind := optimizer.GetKind().(type) {
	case *bastionlabv1.Optimizer_Sgd:
		return checkSGD(kind.Sgd)
	case *bastionlabv1.Optimizer_Adam:
		return checkAdam(kind.Adam)
	case *bastionlabv1.Optimizer_Adamw:
		return checkAdam(kind.Adamw)
	default:
		return invalid("choose Adam, AdamW or SGD", "the run has no optimizer")
	}
}

func checkSGD(sgd *bastionlabv1.SGD) error {
	if sgd.GetNesterov() && (sgd.GetMomentum() <= 0 || sgd.GetDampening() != 0) {
		return invalid("give a momentum and no dampening", "Nesterov momentum needs a momentum above 0 and a dampening of 0")
	}
	return firstError(
		positive("lr", sgd.GetLr()),
		within("momentum", sgd.GetMomentum(), 0, 1),
		within("dampening", sgd.GetDampening(), 0, 1),
		within("weight_decay", sgd.GetWeightDecay(), 0, math.MaxFloat32),
	)
}

func checkAdam(adam *bastionlabv1.Adam) error {
	return firstError(
		positive("lr", adam.GetLr()),
		belowOne("beta1", adam.GetBeta1()),
		belowOne("beta2", adam.GetBeta2()),
		positive("eps of the optimizer", adam.GetEps()),
		within("weight_decay", adam.GetWeightDecay(), 0, math.MaxFloat32),
	)
}

func positive(name string, value float64) error {
	if value > 0 && value <= math.MaxFloat32 {
		return nil
	}
	return invalid(fmt.Sprintf("give a %s above 0", name), "%s must be a positive finite number, got %v", name, value)
}

func within(name string, value, low, high float64) error {
	if value >= low && value <= high {
		return nil
	}
	return invalid(fmt.Sprintf("give a %s of at least %v", name, low), "%s must be between %v and %v, got %v", name, low, high, value)
}

func belowOne(name string, value float64) error {
	if value >= 0 && value < 1 {
		return nil
	}
	return invalid(fmt.Sprintf("give a %s below 1", name), "%s must be at least 0 and below 1, got %v", name, value)
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func invalid(next, format string, args ...any) error {
	return refusal.New(refusal.InvalidArgument, next, format, args...)
}
