package server

import (
	"context"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/version"
)

type sessionService struct {
	bastionlabv1.UnimplementedSessionServiceServer
	sessions        Sessions
	publicKeySHA256 [32]byte
}

func (s *sessionService) Hello(ctx context.Context, _ *bastionlabv1.HelloRequest) (*bastionlabv1.HelloResponse, error) {
	challenge, err := s.sessions.Challenge(ctx)
	if err != nil {
		return nil, err
	}
	return &bastionlabv1.HelloResponse{ServerVersion: version.Number, Protocol: Protocol, Challenge: challenge}, nil
}

func (s *sessionService) SignIn(ctx context.Context, request *bastionlabv1.SignInRequest) (*bastionlabv1.SignInResponse, error) {
	session, err := s.sessions.SignIn(ctx, request, connectionOf(ctx, s.publicKeySHA256))
	if err != nil {
		return nil, err
	}
	if err := know(ctx, session.User.ID); err != nil {
		return nil, err
	}
	return &bastionlabv1.SignInResponse{
		Token:            session.Token,
		ExpiresInSeconds: int64(session.Lifetime.Seconds()),
		User:             session.User.ID,
		Roles:            session.Roles.Proto(),
	}, nil
}
