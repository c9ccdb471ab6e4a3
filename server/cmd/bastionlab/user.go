package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/identity"
	"github.com/bastionlab/bastionlab/server/internal/permission"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

func newUserCommand() *cobra.Command {
	return newGroup("user", "Who may sign in to the server on this machine, and as what", newUserAdd(), newUserList(), newUserRevoke())
}

func newUserAdd() *cobra.Command {
	var roles []string
	var name string
	var l local
	command := &cobra.Command{
		Use: "add FILE", Args: oneArgument,
		Short: "Register a public key (a .pub file of the Python client, or - for stdin), or give a registered one other roles",
		Long: "Register a public key, or give a registered one other roles.\n\n" +
			"The first user who is registered closes development mode for good: from then on only registered keys are let in.",
		RunE: func(command *cobra.Command, arguments []string) error {
			request, err := userRequest(command, arguments[0], name, roles)
			if err != nil {
				return err
			}
			return l.call(command, func(ctx context.Context, conn *grpc.ClientConn, trailer grpc.CallOption) error {
				return l.addUser(ctx, command, bastionlabv1.NewUserServiceClient(conn), request, trailer)
			})
		},
	}
	command.Flags().StringSliceVar(&roles, "role", nil, "owner, scientist or operator; several with commas between them")
	command.Flags().StringVar(&name, "name", "", "who it is, for the list of users")
	l.register(command)
	return command
}

func userRequest(command *cobra.Command, file, name string, roles []string) (*bastionlabv1.AddUserRequest, error) {
	if len(roles) == 0 {
		return nil, usageError(command, "--role is missing: owner, scientist or operator")
	}
	var given permission.Roles
	for _, one := range roles {
		role, err := permission.RoleNamed(one)
		if err != nil {
			return nil, err
		}
		given |= role
	}
	publicKey, err := readPublicKey(file, command.InOrStdin())
	if err != nil {
		return nil, err
	}
	return &bastionlabv1.AddUserRequest{PublicKey: publicKey, Name: name, Roles: given.Proto()}, nil
}

// maxPublicKeyFile is much more than a public key takes.
const maxPublicKeyFile = 16 << 10

// readPublicKey reads a key in PEM or DER from a file, or from stdin for "-".
func readPublicKey(path string, stdin io.Reader) ([]byte, error) {
	from := stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, refusal.New(refusal.InvalidArgument, "name the file of a public key, which ends in .pub", "the key cannot be read: %s", err)
		}
		defer file.Close()
		from = file
	}
	content, err := io.ReadAll(io.LimitReader(from, maxPublicKeyFile))
	if err != nil {
		return nil, refusal.New(refusal.InvalidArgument, "name the file of a public key, which ends in .pub", "the key cannot be read: %s", err)
	}
	return identity.PublicKeyOf(content)
}

// addUser registers a user, and says aloud what the first one changes.
func (l *local) addUser(
	ctx context.Context, command *cobra.Command, users bastionlabv1.UserServiceClient, request *bastionlabv1.AddUserRequest, trailer grpc.CallOption,
) error {
	before, err := users.ListUsers(ctx, &bastionlabv1.ListUsersRequest{}, trailer)
	if err != nil {
		return err
	}
	added, err := users.AddUser(ctx, request, trailer)
	if err != nil {
		return err
	}
	if isFirst(before.GetUsers()) {
		sayClosed(command.ErrOrStderr(), before.GetUsers(), added.GetId())
	}
	return l.print(command, added, userRows(added))
}

// isFirst says whether nobody was ever registered before.
func isFirst(before []*bastionlabv1.User) bool {
	for _, user := range before {
		if len(user.GetRoles()) > 0 {
			return false
		}
	}
	return true
}

func sayClosed(to io.Writer, before []*bastionlabv1.User, added string) {
	fmt.Fprint(to, "\n  DEVELOPMENT MODE IS CLOSED, FOR GOOD.\n"+
		"  From now on this server lets in registered keys only, and new datasets are their owners' alone until they grant access.\n"+
		"  Datasets that were uploaded before stay open to all who are registered, unless their owners said otherwise.\n")
	var locked []string
	for _, user := range before {
		if user.GetId() != added {
			locked = append(locked, user.GetId())
		}
	}
	if len(locked) > 0 {
		fmt.Fprintf(to, "  These keys were used here before and are LOCKED OUT until they are added too:\n    %s\n", strings.Join(locked, "\n    "))
	}
	fmt.Fprintln(to)
}

func newUserList() *cobra.Command {
	return newLocalCommand("list", "List the keys that the server knows, first added first", noArguments,
		func(ctx context.Context, conn *grpc.ClientConn, _ []string, trailer grpc.CallOption) (*bastionlabv1.ListUsersResponse, error) {
			return bastionlabv1.NewUserServiceClient(conn).ListUsers(ctx, &bastionlabv1.ListUsersRequest{}, trailer)
		}, userListRows)
}

func userListRows(found *bastionlabv1.ListUsersResponse) [][]string {
	rows := [][]string{{"ID", "NAME", "ROLES", "ADDED", "LAST SEEN"}}
	for _, user := range found.GetUsers() {
		rows = append(rows, []string{user.GetId(), plain(user.GetName()), rolesText(user), timeText(user.GetAddedUnixMs()), timeText(user.GetLastSeenUnixMs())})
	}
	return rows
}

func newUserRevoke() *cobra.Command {
	return newLocalCommand("revoke ID", "End a user's sessions and let the key in no more; what the user owns stays", oneArgument,
		func(ctx context.Context, conn *grpc.ClientConn, arguments []string, trailer grpc.CallOption) (*bastionlabv1.User, error) {
			return bastionlabv1.NewUserServiceClient(conn).RevokeUser(ctx, &bastionlabv1.RevokeUserRequest{Id: arguments[0]}, trailer)
		}, userRows)
}

func userRows(user *bastionlabv1.User) [][]string {
	return [][]string{
		{"id", user.GetId()}, {"name", plain(user.GetName())}, {"roles", rolesText(user)},
		{"added", timeText(user.GetAddedUnixMs())}, {"last seen", timeText(user.GetLastSeenUnixMs())},
	}
}

func rolesText(user *bastionlabv1.User) string {
	if user.GetRevoked() {
		return "revoked"
	}
	roles, err := permission.RolesFromProto(user.GetRoles())
	if err != nil {
		return "not registered"
	}
	return roles.String()
}
