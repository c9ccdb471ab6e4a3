package server

import (
	"context"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/permission"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

type userService struct {
	bastionlabv1.UnimplementedUserServiceServer
	users Users
}

func (s *userService) AddUser(ctx context.Context, request *bastionlabv1.AddUserRequest) (*bastionlabv1.User, error) {
	roles, err := permission.RolesFromProto(request.GetRoles())
	if err != nil {
		return nil, err
	}
	row, err := s.users.Add(ctx, request.GetPublicKey(), request.GetName(), roles)
	if err != nil {
		return nil, err
	}
	return userOfRow(row), nil
}

func (s *userService) ListUsers(ctx context.Context, _ *bastionlabv1.ListUsersRequest) (*bastionlabv1.ListUsersResponse, error) {
	rows, err := s.users.List(ctx)
	if err != nil {
		return nil, err
	}
	answer := &bastionlabv1.ListUsersResponse{}
	for _, row := range rows {
		answer.Users = append(answer.Users, userOfRow(row))
	}
	return answer, nil
}

func (s *userService) RevokeUser(ctx context.Context, request *bastionlabv1.RevokeUserRequest) (*bastionlabv1.User, error) {
	row, err := s.users.Revoke(ctx, request.GetId())
	if err != nil {
		return nil, err
	}
	return userOfRow(row), nil
}

func userOfRow(row storage.UserRow) *bastionlabv1.User {
	return &bastionlabv1.User{
		Id: row.ID, PublicKey: row.PublicKey, Name: row.Name, Roles: permission.Roles(row.Roles).Proto(), Revoked: row.Revoked,
		AddedUnixMs: row.AddedUnixMS, LastSeenUnixMs: row.LastSeenUnixMS,
	}
}
