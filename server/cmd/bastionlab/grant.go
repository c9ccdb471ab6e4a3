package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/identity"
	"github.com/bastionlab/bastionlab/server/internal/permission"
)

// everybody names all who may sign in.
const everybody = "everybody"

func newDatasetGrant() *cobra.Command {
	var user string
	var train, test, takeHome bool
	var eps float64
	var command *cobra.Command
	command = newRemoteCommand("grant ID", "As its owner, say what somebody may do with a dataset; it replaces what they were granted before", oneArgument,
		func(ctx context.Context, conn *grpc.ClientConn, arguments []string, trailer grpc.CallOption) (*bastionlabv1.Dataset, error) {
			id, err := userNamed(command, user)
			if err != nil {
				return nil, err
			}
			grant := &bastionlabv1.Grant{User: id, Train: train, Test: test, TakeHome: takeHome}
			if command.Flags().Changed("eps") {
				bound, err := accounting.NewEpsilon(eps)
				if err != nil {
					return nil, err
				}
				grant.EpsilonNano = proto.Int64(int64(bound))
			}
			return bastionlabv1.NewDatasetServiceClient(conn).GrantAccess(ctx, &bastionlabv1.GrantAccessRequest{DatasetId: arguments[0], Grant: grant}, trailer)
		}, grantRows)
	registerUser(command, &user)
	command.Flags().BoolVar(&train, "train", false, "they may train on it; without any of these they see name, shapes and budget")
	command.Flags().BoolVar(&test, "test", false, "they may test on it and on its test set")
	command.Flags().BoolVar(&takeHome, "take-home", false, "they may take the weights of their completed runs home")
	command.Flags().Float64Var(&eps, "eps", 0, "the sum of eps that their runs may come to (default as far as the dataset's limit goes); it can only be lowered")
	return command
}

func newDatasetRevoke() *cobra.Command {
	var user string
	var command *cobra.Command
	command = newRemoteCommand("revoke ID", "As its owner, take back what somebody may do with a dataset; their unfinished runs on it end", oneArgument,
		func(ctx context.Context, conn *grpc.ClientConn, arguments []string, trailer grpc.CallOption) (*bastionlabv1.Dataset, error) {
			id, err := userNamed(command, user)
			if err != nil {
				return nil, err
			}
			return bastionlabv1.NewDatasetServiceClient(conn).RevokeAccess(ctx, &bastionlabv1.RevokeAccessRequest{DatasetId: arguments[0], User: id}, trailer)
		}, grantRows)
	registerUser(command, &user)
	return command
}

func registerUser(command *cobra.Command, to *string) {
	command.Flags().StringVar(to, "user", "", "who: the SHA-256 of their public key in hex, the file of that key, or everybody")
}

// userNamed turns what --user says into what the protocol calls a user.
func userNamed(command *cobra.Command, named string) (string, error) {
	switch {
	case named == "":
		return "", usageError(command, "--user is missing: the SHA-256 of a public key in hex, the file of that key, or everybody")
	case named == everybody:
		return permission.Everybody, nil
	}
	if lower := strings.ToLower(named); isID(lower) {
		return lower, nil
	}
	publicKey, err := readPublicKey(named, command.InOrStdin())
	if err != nil {
		return "", err
	}
	return identity.UserOf(publicKey).ID, nil
}

func isID(text string) bool {
	digest, err := hex.DecodeString(text)
	return err == nil && len(digest) == 32
}

func grantRows(d *bastionlabv1.Dataset) [][]string {
	rows := [][]string{{"USER", "TRAIN", "TEST", "TAKE HOME", "EPS"}}
	for _, grant := range d.GetPermissions().GetGrants() {
		user, eps := grant.GetUser(), "-"
		if user == permission.Everybody {
			user = everybody
		}
		if grant.EpsilonNano != nil {
			eps = accounting.Epsilon(grant.GetEpsilonNano()).String()
		}
		rows = append(rows, []string{user, fmt.Sprint(grant.GetTrain()), fmt.Sprint(grant.GetTest()), fmt.Sprint(grant.GetTakeHome()), eps})
	}
	if d.GetPermissions().GetConstantTime() {
		rows = append(rows, []string{}, []string{"runs of others must take constant time"})
	}
	if d.GetPermissions().GetGpu() {
		rows = append(rows, []string{}, []string{"runs of others may compute on a GPU"})
	}
	return rows
}
