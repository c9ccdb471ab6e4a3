package server

import (
	"context"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"google.golang.org/protobuf/proto"
)

type sessionService struct {
	bastionlabv1.UnimplementedSessionServiceServer
	sessions        Sessions
	info            *bastionlabv1.ServerInfo
	development     func() bool
	publicKeySHA256 [32]byte
}

func (s *sessionService) Hello(ctx context.Context, _ *bastionlabv1.HelloRequest) (*bastionlabv1.HelloResponse, error) {
	challenge, err := s.sessions.Challenge(ctx)
	if err != nil {
		return nil, err
	}
	info := proto.CloneOf(s.info)
	info.Development = s.development()
	return &bastionlabv1.HelloResponse{
		ServerVersion: s.info.Version,
		Protocol:      Protocol,
		Challenge:     challenge,
		Info:          info,
	}, nil
}

func (s *sessionService) SignIn(ctx context.Context, request *bastionlabv1.SignInRequest) (*bastionlabv1.SignInResponse, error) {
	session, err := s.sessions.SignIn(ctx, request, channelOf(ctx, s.publicKeySHA256))
	if err != nil {
		return nil, err
	}
	return &bastionlabv1.SignInResponse{
		Token:            session.Token,
		ExpiresInSeconds: int64(session.Lifetime.Seconds()),
		User:             session.User.ID,
		Roles:            session.Roles.Proto(),
	}, nil
}
