package training

import (
	"context"

	"google.golang.org/protobuf/proto"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/model"
	"github.com/bastionlab/bastionlab/server/internal/permission"
	"github.com/bastionlab/bastionlab/server/internal/planning"
)

// A test is a run of its own: charged, queued and cancelled like one, with a number at its end in the place of weights. It is attempted once.

// PlanTest prices a test. It spends nothing.
func (s *Service) PlanTest(ctx context.Context, user string, request *bastionlabv1.TestRequest) (*bastionlabv1.Plan, error) {
	return s.shown(ctx, func() (order, error) { return s.priceTest(ctx, user, request) })
}

// StartTest charges a test in full, durably, and queues it.
func (s *Service) StartTest(ctx context.Context, user string, request *bastionlabv1.StartTestRequest) (*bastionlabv1.Run, error) {
	if err := model.CheckTexts("run", request.GetName(), request.GetDescription()); err != nil {
		return nil, err
	}
	if err := s.mayStart(ctx, user); err != nil {
		return nil, err
	}
	priced, err := s.priceTest(ctx, user, request.GetRequest())
	if err != nil {
		return nil, err
	}
	return s.start(ctx, user, request, request.GetRequest(), priced)
}

func (s *Service) priceTest(ctx context.Context, user string, request *bastionlabv1.TestRequest) (order, error) {
	if size := proto.Size(request); size > maxRequestBytes {
		return order{}, invalid("use the client of this server's release", "the request takes %d bytes, at most %d are taken", size, maxRequestBytes)
	}
	o, err := s.named(ctx, user, permission.Wish{Action: permission.Test}, request.GetModelId(), request.GetDatasetId(), request.GetWeightsRunId())
	if err != nil {
		return order{}, err
	}
	if metric := request.GetMetric(); metric != planning.Accuracy {
		if err := model.CheckLoss(metric, o.dataset.GetSchema().GetLabel()); err != nil {
			return order{}, err
		}
	}
	err = s.atTheMoment(ctx, user, &o, func() error { return s.quoteTest(ctx, request, &o) })
	return o, err
}

func (s *Service) quoteTest(ctx context.Context, request *bastionlabv1.TestRequest, o *order) (err error) {
	o.priced, err = planning.PriceTest(planning.TestRequest{
		Account:    o.account,
		Declared:   o.dataset.GetDeclaredSamples(),
		Metric:     request.GetMetric(),
		Loss:       o.model.Program.GetLoss(),
		Classes:    classes(o.model.Report),
		Epsilon:    request.Epsilon,
		Parameters: parameterCount(o.model.Report),
		Accountant: accountant{ctx.Err, s.known},
	})
	if err != nil {
		return err
	}
	if o.plan, err = planOf(o.priced, o); err != nil {
		return err
	}
	o.test = &trainerv1.Test{
		Program: o.model.Program,
		Settings: &trainerv1.TestSettings{
			Private:         o.priced.Private,
			NoiseMultiplier: o.priced.NoiseMultiplier,
			Slots:           o.dataset.GetDeclaredSamples(),
			Metric:          o.priced.Metric,
			LossBound:       o.priced.LossBound,
			Threads:         int32(s.Threads),
		},
		HasWeights: o.continued != nil,
	}
	return nil
}

// testWithData gives the tester the records and sees the test to its end. It stays charged whatever happens here.
// PRIVACY: a test is never repeated: it has no state, so that another attempt would be another look at the data.
func (s *Service) testWithData(ctx context.Context, l *live, e *equipment) verdict {
	if err := s.test(ctx, l, e); err != nil {
		s.endWithData(ctx, l)
		return over
	}
	return s.complete(ctx, l)
}

// test keeps what the tester found. The result does not leave yet.
func (s *Service) test(ctx context.Context, l *live, e *equipment) error {
	data := &trainerv1.Data{Records: e.records.Count, RecordBytes: e.records.RecordBytes}
	tested, err := e.tester.Run(ctx, data, e.records.File)
	if err != nil {
		return err
	}
	value, standardError := l.order.priced.TestValue(tested.GetSum())
	row := l.state()
	if row.Result, err = proto.Marshal(&bastionlabv1.TestResult{Value: value, StandardError: standardError}); err != nil {
		return err
	}
	if err := s.Store.UpdateRun(context.WithoutCancel(ctx), row); err != nil {
		return err
	}
	l.show(row)
	return nil
}
