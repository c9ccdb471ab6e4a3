package server

import (
	"context"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
)

// maxAuditPage keeps an answer far below what a client takes in one message.
const maxAuditPage = 1000

type auditService struct {
	bastionlabv1.UnimplementedAuditServiceServer
	audit Audit
}

func (s *auditService) ListAudit(ctx context.Context, request *bastionlabv1.ListAuditRequest) (*bastionlabv1.ListAuditResponse, error) {
	lines, more, err := s.audit.List(ctx, userOf(ctx), request.GetDatasetId(), request.GetAfterSeq(), maxAuditPage)
	if err != nil {
		return nil, err
	}
	answer := &bastionlabv1.ListAuditResponse{More: more}
	for _, line := range lines {
		answer.Entries = append(answer.Entries, &bastionlabv1.AuditEntry{
			Seq: line.Seq, UnixMs: line.UnixMS, User: line.User, Action: line.Action, DatasetId: line.Dataset, RunId: line.Run,
			Allowed: line.Allowed, Reason: line.Reason, Binding: line.Binding, BootId: line.Boot, Subject: line.Subject,
		})
	}
	return answer, nil
}
