package training

import (
	"context"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/model"
	"github.com/bastionlab/bastionlab/server/internal/planning"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// quote prices a request whose parts were found, and says what a trainer will be told.
func (s *Service) quote(ctx context.Context, request *bastionlabv1.TrainingRequest, m model.Model, continued *storage.RunRow, on *bastionlabv1.Dataset, account ledger.Account) (order, error) {
	if err := checkRequest(request); err != nil {
		return order{}, err
	}
	priced, err := planning.Price(planning.Request{
		Declared:     on.GetDeclaredSamples(),
		Limit:        account.Limit,
		DatasetDelta: account.Delta,
		Spent:        account.Spent,
		SpentDelta:   account.SpentDelta,
		Infinite:     account.Infinite,
		Epochs:       request.GetNbEpochs(),
		Epsilon:      request.Epsilon,
		Delta:        request.Delta,
		BatchSize:    request.BatchSize,
		MaxBatchSize: request.GetMaxBatchSize(),
		MaxGradNorm:  request.GetMaxGradNorm(),
		LearningRate: learningRate(request.GetOptimizer()),
		Metrics:      request.GetMetrics(),
		Release:      request.GetRelease(),
		ConstantTime: request.GetConstantTime(),
		Device:       request.GetDevice(),
		Trainable:    trainableCount(m.Report),
		Parameters:   parameterCount(m.Report),
		Accountant:   accountant{ctx.Err, s.known},
	})
	if err != nil {
		return order{}, err
	}
	charge, err := planning.Charge(priced, on.GetId(), m.Program.GetPayloadSha256())
	if err != nil {
		return order{}, err
	}
	return order{
		model: m, continued: continued, dataset: on, limit: account.Limit,
		plan:  planOf(priced, charge),
		train: s.trainOf(priced, request, m, continued, on.GetDeclaredSamples()),
	}, nil
}

func planOf(priced planning.Plan, charge []byte) *bastionlabv1.Plan {
	return &bastionlabv1.Plan{
		NoiseMultiplier:    priced.NoiseMultiplier,
		SampleRate:         priced.SampleRate,
		Steps:              priced.Steps,
		BatchSize:          priced.BatchSize,
		MaxBatchSize:       priced.MaxBatchSize,
		MaxGradNorm:        priced.MaxGradNorm,
		Private:            priced.Private,
		EpsilonNano:        int64(priced.Epsilon),
		DeltaAtto:          int64(priced.Delta),
		RemainingAfterNano: int64(priced.RemainingAfter),
		ReleaseMode:        priced.ReleaseMode,
		GridExponent:       int32(priced.GridExponent),
		GridError:          priced.GridError,
		Eta:                priced.Eta,
		Seconds:            priced.Seconds,
		Warnings:           priced.Warnings,
		NbEpochs:           priced.Epochs,
		Charge:             charge,
		Unlimited:          priced.Unlimited,
	}
}

func (s *Service) trainOf(priced planning.Plan, request *bastionlabv1.TrainingRequest, m model.Model, continued *storage.RunRow, declared int64) *trainerv1.Train {
	threshold, all := accounting.InclusionThreshold(priced.SampleRate)
	return &trainerv1.Train{
		Program: m.Program,
		Settings: &trainerv1.Settings{
			Private:            priced.Private,
			MaxGradNorm:        priced.MaxGradNorm,
			NoiseMultiplier:    priced.NoiseMultiplier,
			InclusionThreshold: threshold,
			IncludeAll:         all,
			Slots:              declared,
			Steps:              priced.Steps,
			EpochEnds:          epochEnds(declared, priced.BatchSize, priced.Steps),
			BatchSize:          priced.BatchSize,
			PassSize:           min(priced.MaxBatchSize, declared), // a pass never holds more than every slot
			Optimizer:          request.GetOptimizer(),
			Exact:              priced.ReleaseMode == planning.ReleaseExact,
			GridExponent:       int32(priced.GridExponent),
			Eta:                priced.Eta,
			Threads:            int32(s.Threads),
		},
		HasInitialWeights: continued != nil,
	}
}

// epochEnds are the steps after which each epoch has ended: epoch e with ceil(e * declared / batch), the last with the last step.
func epochEnds(declared, batch, steps int64) []int64 {
	var ends []int64
	for epoch := int64(1); ; epoch++ {
		whole, rest := declared/batch*epoch, declared%batch*epoch
		end := whole + (rest+batch-1)/batch
		if end >= steps {
			return append(ends, steps)
		}
		ends = append(ends, end)
	}
}

// parameterCount is how many numbers a model has, for the estimate of time.
func parameterCount(report *bastionlabv1.CapabilityReport) (count int64) {
	for _, parameter := range report.GetParameters() {
		count += numbersOf(parameter)
	}
	return count
}

// trainableCount is how many of them a run trains.
// PRIVACY: it makes the grid. It is read off the judged program, and the engine counts its own.
func trainableCount(report *bastionlabv1.CapabilityReport) (count int64) {
	for _, parameter := range report.GetParameters() {
		if parameter.GetTrainable() {
			count += numbersOf(parameter)
		}
	}
	return count
}

func numbersOf(parameter *bastionlabv1.ParameterReport) int64 {
	size := int64(1)
	for _, dim := range parameter.GetShape() {
		size *= dim // bounded when the report was checked
	}
	return size
}

func learningRate(optimizer *bastionlabv1.Optimizer) float64 {
	switch kind := optimizer.GetKind().(type) {
	case *bastionlabv1.Optimizer_Sgd:
		return kind.Sgd.GetLr()
	case *bastionlabv1.Optimizer_Adam:
		return kind.Adam.GetLr()
	case *bastionlabv1.Optimizer_Adamw:
		return kind.Adamw.GetLr()
	default:
		return 0
	}
}
