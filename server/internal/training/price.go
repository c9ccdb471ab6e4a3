package training

import (
	"context"
	"slices"

	"google.golang.org/protobuf/proto"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/model"
	"github.com/bastionlab/bastionlab/server/internal/permission"
	"github.com/bastionlab/bastionlab/server/internal/planning"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// order is a run as it was priced: all that is charged, and all that a trainer is told.
type order struct {
	model     model.Model
	continued *storage.RunRow // whose weights it starts from, or nil
	dataset   *bastionlabv1.Dataset
	account   planning.Account // as it was at the moment
	priced    planning.Plan
	plan      *bastionlabv1.Plan // the same, as people see it
	train     *trainerv1.Train   // nil for a test
	test      *trainerv1.Test    // nil for a training run
}

// lossError is planning.Plan.LossError of the plan as people saw it: it outlives a server.
func (o order) lossError(steps int64) float64 {
	return planning.Plan{
		NoiseMultiplier: o.plan.GetNoiseMultiplier(), Eta: o.plan.GetEta(), LossBound: o.plan.GetLossBound(), BatchSize: o.plan.GetBatchSize(),
	}.LossError(steps)
}

// price is what the ledger writes: what was shown.
func (o order) price() ledger.Price {
	return ledger.Price{
		Cost:   accounting.Cost{Epsilon: o.epsilon(), Delta: accounting.Delta(o.plan.GetDeltaAtto()), Renyi: o.priced.Renyi},
		Orders: o.priced.Orders, Infinite: !o.plan.GetPrivate(), Charge: o.plan.GetCharge(),
	}
}

func (o order) epsilon() accounting.Epsilon { return accounting.Epsilon(o.plan.GetEpsilonNano()) }

// price finds what the request names and prices it at this moment's budget.
func (s *Service) price(ctx context.Context, user string, request *bastionlabv1.TrainingRequest) (order, error) {
	wish := permission.Wish{
		Action: permission.Train, ConstantTime: request.GetConstantTime(),
		GPU: slices.Contains(s.Devices, request.GetDevice()), // what is not offered has no price
	}
	o, err := s.named(ctx, user, wish, request.GetModelId(), request.GetDatasetId(), request.GetContinueRunId())
	if err != nil {
		return order{}, err
	}
	err = s.atTheMoment(ctx, user, &o, func() error { return s.quote(ctx, request, &o) })
	return o, err
}

// named finds the model, the dataset and the run whose weights are to be used, for a user who may do with them what they wish to.
func (s *Service) named(ctx context.Context, user string, wish permission.Wish, modelID, datasetID, runID string) (o order, err error) {
	if o.model, err = s.Models.Get(ctx, user, modelID); err != nil {
		return order{}, err
	}
	if o.dataset, err = s.Datasets.Permitted(ctx, user, datasetID, wish); err != nil {
		return order{}, err
	}
	if !proto.Equal(o.dataset.GetSchema(), o.model.Program.GetSchema()) {
		return order{}, refusal.New(refusal.InvalidArgument, "upload the model again for this dataset", "the model was checked against a dataset of another schema")
	}
	o.continued, err = s.continued(ctx, user, runID, o.model, datasetID)
	return o, err
}

// atTheMoment prices an order at the budget that there is when the user's turn has come.
func (s *Service) atTheMoment(ctx context.Context, user string, o *order, quote func() error) error {
	leave, err := s.pricing.enter(ctx, user)
	if err != nil {
		return err
	}
	defer leave()
	account, err := s.Budget.Account(o.dataset.GetId()) // now, not when the wait began
	if err != nil {
		return err
	}
	if err := account.CheckFrozen(); err != nil {
		return err
	}
	o.account = planning.Account{
		Limit: account.Limit, DatasetDelta: account.Delta, Orders: account.Orders, Infinite: account.Infinite,
		Spent: account.Spent, SpentDelta: account.SpentDelta, SpentRenyi: account.Renyi,
	}
	if limit, limited := account.Scientists[user]; limited {
		o.account.Own = &planning.Allowance{Limit: limit, Spent: account.SpentBy(user)}
	}
	return quote()
}

// continued finds the run whose weights the new one starts from.
func (s *Service) continued(ctx context.Context, user, id string, m model.Model, on string) (*storage.RunRow, error) {
	if id == "" {
		return nil, nil
	}
	row, _, err := s.find(ctx, user, id)
	if err != nil {
		return nil, err
	}
	var what string
	switch {
	case row.Scientist != user:
		return nil, refusal.New(refusal.PermissionDenied, "go on from a run of your own", "only its author goes on from a run's weights")
	case row.ModelID != m.ID:
		what = "the run to go on from trained another model"
	case statusOf(row) != bastionlabv1.RunStatus_RUN_STATUS_COMPLETED || len(row.WeightsSHA256) == 0:
		what = "the run to go on from has no weights: it did not complete, or it was a test"
	default:
		if err := s.mayUse(ctx, row, on); err != nil {
			return nil, err
		}
		return &row, nil
	}
	return nil, refusal.New(refusal.InvalidArgument, "go on from a completed run of the same model, or start anew", "%s", what)
}
