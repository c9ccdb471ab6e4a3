package training

import (
	"context"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/planning"
	"github.com/bastionlab/bastionlab/server/internal/program"
)

// quote prices a request whose parts were found, and says what a trainer will be told.
func (s *Service) quote(ctx context.Context, request *bastionlabv1.TrainingRequest, o *order) error {
	if err := checkRequest(request); err != nil {
		return err
	}
	priced, err := planning.Price(planning.Request{
		Account:      o.account,
		Declared:     o.dataset.GetDeclaredSamples(),
		Epochs:       request.GetNbEpochs(),
		Epsilon:      request.Epsilon,
		Delta:        request.Delta,
		BatchSize:    request.BatchSize,
		MaxBatchSize: request.GetMaxBatchSize(),
		MaxGradNorm:  request.GetMaxGradNorm(),
		LearningRate: learningRate(request.GetOptimizer()),
		Metrics:      request.GetMetrics(),
		Loss:         o.model.Program.GetLoss(),
		Classes:      classes(o.model.Report),
		Release:      request.GetRelease(),
		ConstantTime: request.GetConstantTime(),
		Device:       request.GetDevice(),
		Devices:      s.Devices,
		Trainable:    trainableCount(o.model.Report),
		Parameters:   parameterCount(o.model.Report),
		Accountant:   accountant{ctx.Err, s.known},
	})
	if err != nil {
		return err
	}
	if err := program.JudgeUses(request.GetDevice(), o.model.Report.GetOperators()); err != nil {
		return err
	}
	if o.plan, err = planOf(priced, o); err != nil {
		return err
	}
	o.priced = priced
	o.train = s.trainOf(priced, request, o)
	return nil
}

// planOf is what people see of a price, and what is charged.
func planOf(priced planning.Plan, o *order) (*bastionlabv1.Plan, error) {
	charge, err := planning.Charge(priced, o.dataset.GetId(), o.model.Program.GetPayloadSha256())
	if err != nil {
		return nil, err
	}
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
		PassesPerStep:      priced.PassesPerStep,
		Eta:                priced.Eta,
		Seconds:            priced.Seconds,
		Warnings:           priced.Warnings,
		NbEpochs:           priced.Epochs,
		Charge:             charge,
		Unlimited:          priced.Unlimited,
		LossBound:          priced.LossBound,
		Metric:             priced.Metric,
		Device:             priced.Device,
	}, nil
}

func (s *Service) trainOf(priced planning.Plan, request *bastionlabv1.TrainingRequest, o *order) *trainerv1.Train {
	declared := o.dataset.GetDeclaredSamples()
	threshold, all := accounting.InclusionThreshold(priced.SampleRate)
	return &trainerv1.Train{
		Program: o.model.Program,
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
			PassesPerStep:      priced.PassesPerStep,
			Exact:              priced.ReleaseMode == planning.ReleaseExact,
			GridExponent:       int32(priced.GridExponent),
			Eta:                priced.Eta,
			Threads:            int32(s.Threads),
			LossBound:          priced.LossBound,
			Device:             priced.Device,
		},
		HasInitialWeights: o.continued != nil,
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

// classes is the last dimension of the model's output, 0 where it is not known.
// SECURITY: the shape is the word of a process that read a stranger's archive. No privacy claim rests on it: see planning.
func classes(report *bastionlabv1.CapabilityReport) int64 {
	outputs := report.GetOutputs()
	if len(outputs) == 0 || len(outputs[0].GetShape()) == 0 {
		return 0
	}
	shape := outputs[0].GetShape()
	return shape[len(shape)-1]
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
