package server

import (
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/identity"
)

// subjects are what a call is about, as the audit log names it: identifiers, and nothing else of a message.
type subjects struct{ dataset, run, user string }

// and is what two messages of a call say together; the later one knows more.
func (s subjects) and(later subjects) subjects {
	for _, field := range []struct {
		into *string
		from string
	}{{&s.dataset, later.dataset}, {&s.run, later.run}, {&s.user, later.user}} {
		if field.from != "" {
			*field.into = field.from
		}
	}
	return s
}

// subjectsOf reads what a request or an answer is about. TestEveryFieldThatNamesSomethingIsNoted holds it to the protocol.
func subjectsOf(message any) subjects {
	switch m := message.(type) {
	case *bastionlabv1.SignInRequest:
		return subjects{user: userOfKey(m.GetPublicKey())} // claimed, and not proved
	case *bastionlabv1.AddUserRequest:
		return subjects{user: userOfKey(m.GetPublicKey())}
	case *bastionlabv1.RevokeUserRequest:
		return subjects{user: m.GetId()}
	case *bastionlabv1.ListAuditRequest:
		return subjects{dataset: m.GetDatasetId()}
	case *bastionlabv1.ListReceiptsRequest:
		return subjects{dataset: m.GetDatasetId(), run: m.GetRunId()}
	case *bastionlabv1.UploadModelRequest:
		return subjects{dataset: m.GetHeader().GetDatasetId()}
	}
	if s, known := ofDatasets(message); known {
		return s
	}
	return ofRuns(message)
}

func ofDatasets(message any) (_ subjects, known bool) {
	switch m := message.(type) {
	case *bastionlabv1.UploadDatasetRequest:
		return subjects{dataset: m.GetHeader().GetTestOf()}, true
	case *bastionlabv1.UploadDatasetResponse:
		return subjects{dataset: m.GetDataset().GetId()}, true
	case *bastionlabv1.GetDatasetRequest:
		return subjects{dataset: m.GetId()}, true
	case *bastionlabv1.DeleteDatasetRequest:
		return subjects{dataset: m.GetId()}, true
	case *bastionlabv1.GetBudgetRequest:
		return subjects{dataset: m.GetDatasetId()}, true
	case *bastionlabv1.LowerLimitRequest:
		return subjects{dataset: m.GetDatasetId(), user: m.GetScientist()}, true
	case *bastionlabv1.GrantAccessRequest:
		return subjects{dataset: m.GetDatasetId(), user: m.GetGrant().GetUser()}, true
	case *bastionlabv1.RevokeAccessRequest:
		return subjects{dataset: m.GetDatasetId(), user: m.GetUser()}, true
	}
	return subjects{}, false
}

func ofRuns(message any) subjects {
	switch m := message.(type) {
	case *bastionlabv1.TrainingRequest:
		return subjects{dataset: m.GetDatasetId(), run: m.GetContinueRunId()}
	case *bastionlabv1.StartTrainingRequest:
		return ofRuns(m.GetRequest())
	case *bastionlabv1.TestRequest:
		return subjects{dataset: m.GetDatasetId(), run: m.GetWeightsRunId()}
	case *bastionlabv1.StartTestRequest:
		return ofRuns(m.GetRequest())
	case *bastionlabv1.GetRunRequest:
		return subjects{run: m.GetId()}
	case *bastionlabv1.WatchRunRequest:
		return subjects{run: m.GetId()}
	case *bastionlabv1.CancelRunRequest:
		return subjects{run: m.GetId()}
	case *bastionlabv1.ApproveRunRequest:
		return subjects{run: m.GetId()}
	case *bastionlabv1.DenyRunRequest:
		return subjects{run: m.GetId()}
	case *bastionlabv1.DownloadWeightsRequest:
		return subjects{run: m.GetRunId()}
	case *bastionlabv1.Run:
		return subjects{dataset: m.GetDatasetId(), run: m.GetId()}
	}
	return subjects{}
}

func userOfKey(publicKey []byte) string {
	if len(publicKey) == 0 {
		return ""
	}
	return identity.UserOf(publicKey).ID
}
