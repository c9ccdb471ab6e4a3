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
	for _, row := range listed(rows) {
		answer.Users = append(answer.Users, userOfRow(row))
	}
	return answer, nil
}

// maxListedGuests bounds how many keys are listed that nobody registered.
const maxListedGuests = 10_000

// listed are all who were ever registered, and of the others the newest.
// SECURITY: in development mode whoever comes is remembered. They must not make the list too long to be sent: the operator needs it to register users.
func listed(rows []storage.UserRow) (kept []storage.UserRow) {
	guests := 0
	for _, row := range rows {
		if row.Roles == 0 {
			guests++
		}
	}
	for _, row := range rows {
		if row.Roles == 0 {
			if guests--; guests >= maxListedGuests {
				continue
			}
		}
		kept = append(kept, row)
	}
	return kept
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
