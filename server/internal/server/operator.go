package server

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/training"
)

// operatorMethods is what the machine's operator may call.
// PRIVACY: no upload, no plan, no start, no weights: running the machine gives no claim to what is trained on it.
var operatorMethods = map[string]bool{
	bastionlabv1.DatasetService_ListDatasets_FullMethodName: true,
	bastionlabv1.DatasetService_GetDataset_FullMethodName:   true,
	bastionlabv1.DatasetService_GetBudget_FullMethodName:    true,
	bastionlabv1.TrainingService_GetRun_FullMethodName:      true,
	bastionlabv1.TrainingService_ListRuns_FullMethodName:    true,
	bastionlabv1.TrainingService_WatchRun_FullMethodName:    true,
	bastionlabv1.TrainingService_CancelRun_FullMethodName:   true,
	bastionlabv1.AuditService_ListAudit_FullMethodName:      true,
}

// identifyOperator names the caller on the local socket.
// SECURITY: whoever the operating system lets into the data directory, which is its owner's alone.
func identifyOperator(ctx context.Context, _ metadata.MD) (string, error) {
	if method, _ := grpc.Method(ctx); !operatorMethods[method] {
		return "", refusal.New(refusal.PermissionDenied, "use the Python client, with a key", "the operator's socket does not offer %s", printable(method, maxNameBytes))
	}
	return training.Operator, nil
}
