package main

import (
	"errors"
	"io"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/permission"
)

// calls makes each call of the protocol, as somebody, about the dataset and the run of a scene.
var calls = map[string]func(s *scene, p *person) error{
	"AttestationService/GetEvidence": func(_ *scene, p *person) error {
		_, err := bastionlabv1.NewAttestationServiceClient(p.conn).GetEvidence(p.ctx(), &bastionlabv1.GetEvidenceRequest{Nonce: make([]byte, 32), Binding: bastionlabv1.Binding_BINDING_KEY})
		return err
	},
	"SessionService/Hello": func(_ *scene, p *person) error {
		_, err := bastionlabv1.NewSessionServiceClient(p.conn).Hello(p.ctx(), &bastionlabv1.HelloRequest{})
		return err
	},
	"SessionService/SignIn": func(s *scene, p *person) error {
		if p.token == "" && p.conn != s.operator.conn { // as it is meant
			connect(s.t, s.n.address, s.subject.key)
			return nil
		}
		_, err := bastionlabv1.NewSessionServiceClient(p.conn).SignIn(p.ctx(), &bastionlabv1.SignInRequest{})
		if status.Code(err) == codes.Unauthenticated { // the proof is none: it was looked at
			return nil
		}
		return err
	},
	"UserService/AddUser": func(s *scene, p *person) error {
		_, err := bastionlabv1.NewUserServiceClient(p.conn).AddUser(p.ctx(), &bastionlabv1.AddUserRequest{
			PublicKey: publicKeyOf(s.t, newKey(s.t)), Roles: []bastionlabv1.Role{bastionlabv1.Role_ROLE_SCIENTIST},
		})
		return err
	},
	"UserService/ListUsers": func(_ *scene, p *person) error {
		_, err := bastionlabv1.NewUserServiceClient(p.conn).ListUsers(p.ctx(), &bastionlabv1.ListUsersRequest{})
		return err
	},
	"UserService/RevokeUser": func(s *scene, p *person) error {
		somebody := register(s.t, s.operator, publicKeyOf(s.t, newKey(s.t)), permission.Scientist)
		_, err := bastionlabv1.NewUserServiceClient(p.conn).RevokeUser(p.ctx(), &bastionlabv1.RevokeUserRequest{Id: somebody})
		return err
	},
	"AuditService/ListAudit": func(_ *scene, p *person) error {
		_, err := bastionlabv1.NewAuditServiceClient(p.conn).ListAudit(p.ctx(), &bastionlabv1.ListAuditRequest{})
		return err
	},
	"DatasetService/UploadDataset": func(_ *scene, p *person) error { _, _, err := p.sendDataset(parts("one more", 6, "")); return err },
	"DatasetService/GetUpload": func(_ *scene, p *person) error {
		_, err := p.data().GetUpload(p.ctx(), &bastionlabv1.GetUploadRequest{UploadId: strings.Repeat("0", 32)})
		return err
	},
	"DatasetService/ListDatasets": func(s *scene, p *person) error {
		list, err := p.data().ListDatasets(p.ctx(), &bastionlabv1.ListDatasetsRequest{})
		_, sees := p.data().GetDataset(p.ctx(), &bastionlabv1.GetDatasetRequest{Id: s.dataset})
		listed := slices.ContainsFunc(list.GetDatasets(), func(d *bastionlabv1.Dataset) bool { return d.GetId() == s.dataset })
		if listed != (sees == nil) {
			s.t.Errorf("the dataset is listed %t, and asked for by its identifier: %v", listed, sees)
		}
		return err
	},
	"DatasetService/GetDataset": func(s *scene, p *person) error {
		_, err := p.data().GetDataset(p.ctx(), &bastionlabv1.GetDatasetRequest{Id: s.dataset})
		return err
	},
	"DatasetService/GetBudget": func(s *scene, p *person) error {
		_, err := p.data().GetBudget(p.ctx(), &bastionlabv1.GetBudgetRequest{DatasetId: s.dataset})
		return err
	},
	"DatasetService/LowerLimit": func(s *scene, p *person) error {
		_, err := p.data().LowerLimit(p.ctx(), &bastionlabv1.LowerLimitRequest{DatasetId: s.dataset, PrivacyLimit: 5})
		return err
	},
	"DatasetService/DeleteDataset": func(s *scene, p *person) error {
		_, err := p.data().DeleteDataset(p.ctx(), &bastionlabv1.DeleteDatasetRequest{Id: s.dataset})
		return err
	},
	"DatasetService/GrantAccess": func(s *scene, p *person) error {
		_, err := p.data().GrantAccess(p.ctx(), &bastionlabv1.GrantAccessRequest{DatasetId: s.dataset, Grant: &bastionlabv1.Grant{User: strings.Repeat("7", 64)}})
		return err
	},
	"DatasetService/RevokeAccess": func(s *scene, p *person) error {
		_, err := p.data().RevokeAccess(p.ctx(), &bastionlabv1.RevokeAccessRequest{DatasetId: s.dataset, User: strings.Repeat("7", 64)})
		return err
	},
	"ModelService/UploadModel": func(s *scene, p *person) error {
		_, _, err := p.sendModel(modelParts(s.dataset, "cross_entropy", archive(s.t)))
		return err
	},
	"TrainingService/PlanTraining": func(s *scene, p *person) error {
		_, err := p.runs().PlanTraining(p.ctx(), request(s.model, s.dataset, 0.5))
		return err
	},
	"TrainingService/StartTraining": func(s *scene, p *person) error {
		_, err := p.runs().StartTraining(p.ctx(), &bastionlabv1.StartTrainingRequest{Request: request(s.model, s.dataset, 0.5)})
		return err
	},
	"TrainingService/PlanTest": func(s *scene, p *person) error { _, err := p.runs().PlanTest(p.ctx(), s.test()); return err },
	"TrainingService/StartTest": func(s *scene, p *person) error {
		_, err := p.runs().StartTest(p.ctx(), &bastionlabv1.StartTestRequest{Request: s.test()})
		return err
	},
	"TrainingService/GetRun": func(s *scene, p *person) error {
		_, err := p.runs().GetRun(p.ctx(), &bastionlabv1.GetRunRequest{Id: s.run})
		return err
	},
	"TrainingService/ListRuns": func(s *scene, p *person) error {
		list, err := p.runs().ListRuns(p.ctx(), &bastionlabv1.ListRunsRequest{})
		_, sees := p.runs().GetRun(p.ctx(), &bastionlabv1.GetRunRequest{Id: s.run})
		listed := slices.ContainsFunc(list.GetRuns(), func(r *bastionlabv1.Run) bool { return r.GetId() == s.run })
		if listed != (sees == nil) {
			s.t.Errorf("the run is listed %t, and asked for by its identifier: %v", listed, sees)
		}
		return err
	},
	"TrainingService/WatchRun": func(s *scene, p *person) error {
		stream, err := p.runs().WatchRun(p.ctx(), &bastionlabv1.WatchRunRequest{Id: s.run})
		return drained(stream, err)
	},
	"TrainingService/CancelRun": func(s *scene, p *person) error {
		_, err := p.runs().CancelRun(p.ctx(), &bastionlabv1.CancelRunRequest{Id: s.run})
		return err
	},
	"TrainingService/ApproveRun": func(s *scene, p *person) error {
		_, err := p.runs().ApproveRun(p.ctx(), &bastionlabv1.ApproveRunRequest{Id: s.run})
		return err
	},
	"TrainingService/DenyRun": func(s *scene, p *person) error {
		_, err := p.runs().DenyRun(p.ctx(), &bastionlabv1.DenyRunRequest{Id: s.run})
		return err
	},
	"TrainingService/DownloadWeights": func(s *scene, p *person) error {
		stream, err := p.runs().DownloadWeights(p.ctx(), &bastionlabv1.DownloadWeightsRequest{RunId: s.run})
		return drained(stream, err)
	},
	"LedgerService/ListReceipts": func(s *scene, p *person) error {
		of := &bastionlabv1.ListReceiptsRequest{Of: &bastionlabv1.ListReceiptsRequest_DatasetId{DatasetId: s.dataset}}
		_, err := bastionlabv1.NewLedgerServiceClient(p.conn).ListReceipts(p.ctx(), of)
		return err
	},
	receiptsOfRun: func(s *scene, p *person) error {
		of := &bastionlabv1.ListReceiptsRequest{Of: &bastionlabv1.ListReceiptsRequest_RunId{RunId: s.run}}
		_, err := bastionlabv1.NewLedgerServiceClient(p.conn).ListReceipts(p.ctx(), of)
		return err
	},
	"LedgerService/PresentReceipts": func(_ *scene, p *person) error {
		_, err := bastionlabv1.NewLedgerServiceClient(p.conn).PresentReceipts(p.ctx(), &bastionlabv1.PresentReceiptsRequest{})
		return err
	},
	"LedgerService/ListClosings": func(_ *scene, p *person) error {
		_, err := bastionlabv1.NewLedgerServiceClient(p.conn).ListClosings(p.ctx(), &bastionlabv1.ListClosingsRequest{})
		return err
	},
}

// receiptsOfRun is one method's second half.
const receiptsOfRun = "LedgerService/ListReceipts of a run"

func (s *scene) test() *bastionlabv1.TestRequest {
	eps := 0.5
	return &bastionlabv1.TestRequest{ModelId: s.model, DatasetId: s.dataset, Metric: "accuracy", Epsilon: &eps}
}

func drained[Message any](stream grpc.ServerStreamingClient[Message], err error) error {
	for err == nil {
		_, err = stream.Recv()
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
