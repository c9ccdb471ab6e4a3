package training

import (
	"bytes"
	"cmp"
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/model"
	"github.com/bastionlab/bastionlab/server/internal/planning"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// Plan prices a run. It spends nothing and promises nothing: others may spend in between.
func (s *Service) Plan(ctx context.Context, user string, request *bastionlabv1.TrainingRequest) (*bastionlabv1.Plan, error) {
	return s.shown(ctx, func() (order, error) { return s.price(ctx, user, request) })
}

// shown is a plan as it is shown: with what a run of its shape could get now.
func (s *Service) shown(ctx context.Context, price func() (order, error)) (*bastionlabv1.Plan, error) {
	o, err := price()
	if err != nil {
		return nil, err
	}
	s.tellObtainable(ctx, o)
	return o.plan, nil
}

func (s *Service) tellObtainable(ctx context.Context, o order) {
	o.plan.ObtainableNano = int64(o.account.Obtainable(o.priced, accountant{ctx.Err, s.known}))
}

// Start charges a run in full, durably, and queues it. When it returns nil the charge is on disk.
func (s *Service) Start(ctx context.Context, user string, request *bastionlabv1.StartTrainingRequest) (*bastionlabv1.Run, error) {
	if err := model.CheckTexts("run", request.GetName(), request.GetDescription()); err != nil {
		return nil, err
	}
	if err := s.mayStart(ctx, user); err != nil {
		return nil, err
	}
	priced, err := s.price(ctx, user, request.GetRequest())
	if err != nil {
		return nil, err
	}
	return s.start(ctx, user, request, request.GetRequest(), priced)
}

// starting is what a request to start has, whatever is started.
type starting interface {
	GetCharge() []byte
	GetName() string
	GetDescription() string
}

func (s *Service) start(ctx context.Context, user string, request starting, wanted proto.Message, priced order) (*bastionlabv1.Run, error) {
	// What the caller saw is what is charged, byte for byte.
	if seen := request.GetCharge(); len(seen) > 0 && !bytes.Equal(seen, priced.plan.GetCharge()) {
		return nil, refusal.New(refusal.InvalidArgument, "plan again and look at the new price", "the price of this run is another than the plan that was shown")
	}
	s.tellObtainable(ctx, priced)
	row, err := s.newRow(user, request, wanted, priced)
	if err != nil {
		return nil, err
	}
	l := newLive(row, priced)
	if err := s.admit(l); err != nil {
		return nil, err
	}
	// The owner may have taken the permission back since it was priced. From here on, who does so ends the run: it is known.
	if err := s.stillPermitted(ctx, l); err != nil {
		s.drop(l)
		return nil, err
	}
	if s.Roles(user) == 0 { // revoked meanwhile; likewise
		s.drop(l)
		return nil, refusal.New(refusal.Unauthenticated, "ask the server's operator", "the session ended during the call: its user was revoked")
	}
	// From here on the caller's leaving changes nothing: a charge is not given up halfway.
	ctx = context.WithoutCancel(ctx)
	if err := s.charge(ctx, l); err != nil {
		s.drop(l)
		return nil, err
	}
	s.Log.InfoContext(ctx, "run charged and queued", "run", row.ID, "dataset", row.DatasetID, "user", user, "epsilon", priced.epsilon().String(), "device", cmp.Or(priced.plan.GetDevice(), planning.CPU))
	s.enqueue(ctx, l)
	return runOf(row, user)
}

// charge reserves the budget and makes the run known, or leaves neither.
func (s *Service) charge(ctx context.Context, l *live) error {
	row := l.row
	if err := s.Budget.Reserve(row.DatasetID, row.ID, row.Scientist, l.order.price()); err != nil {
		return err
	}
	if err := s.Store.InsertRun(ctx, row); err != nil {
		// A charge that cannot be released now belongs to no run, and is released at the next start.
		if releaseErr := s.Budget.Release(row.DatasetID, row.ID); releaseErr != nil {
			s.Log.ErrorContext(ctx, "cannot release the charge of a run that was not recorded", "run", row.ID, "error", releaseErr)
		}
		return err
	}
	return nil
}

func (s *Service) newRow(user string, request starting, wanted proto.Message, priced order) (storage.RunRow, error) {
	encodedRequest, err := proto.Marshal(wanted)
	if err != nil {
		return storage.RunRow{}, fmt.Errorf("encode the request: %w", err)
	}
	encodedPlan, err := proto.Marshal(priced.plan)
	if err != nil {
		return storage.RunRow{}, fmt.Errorf("encode the plan: %w", err)
	}
	encodedTrain, err := proto.Marshal(priced.train)
	if err != nil {
		return storage.RunRow{}, fmt.Errorf("encode what a trainer is told: %w", err)
	}
	return storage.RunRow{
		ID:            storage.NewID(),
		ModelID:       priced.model.ID,
		DatasetID:     priced.dataset.GetId(),
		DatasetOwner:  priced.dataset.GetOwner(),
		Scientist:     user,
		Name:          request.GetName(),
		Description:   request.GetDescription(),
		CreatedUnixMS: s.Now().UnixMilli(),
		Status:        int32(bastionlabv1.RunStatus_RUN_STATUS_QUEUED),
		Spent:         spentText(priced.plan, priced.account.Limit),
		Request:       encodedRequest,
		Plan:          encodedPlan,
		Train:         encodedTrain,
	}, nil
}
