package server

import (
	"context"
	"errors"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/attestation"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

type attestationService struct {
	bastionlabv1.UnimplementedAttestationServiceServer
	evidence Evidence
	key      []byte // of the certificate: SubjectPublicKeyInfo, DER
}

func (s *attestationService) GetEvidence(ctx context.Context, request *bastionlabv1.GetEvidenceRequest) (*bastionlabv1.Evidence, error) {
	if len(request.GetNonce()) != attestation.NonceBytes {
		return nil, refusal.New(refusal.InvalidArgument, "use the client of this server's release", "a nonce has %d bytes, this one has %d",
			attestation.NonceBytes, len(request.GetNonce()))
	}
	channel, err := channelOf(ctx, request.GetBinding(), s.key)
	if err != nil {
		return nil, err
	}
	// SECURITY: whoever asks for more at once than one answer would take the places of others: a report serves only so many.
	release, free := askOnce(ctx)
	if !free {
		return nil, refusal.New(refusal.Unavailable, "wait for the answer", "this connection has asked for evidence already")
	}
	defer release()
	evidence, err := s.evidence.Evidence(ctx, [attestation.NonceBytes]byte(request.GetNonce()), channel)
	if errors.Is(err, attestation.ErrBusy) {
		return nil, refusal.New(refusal.Unavailable, "try again in a moment", "%s", err)
	}
	return evidence, err
}
