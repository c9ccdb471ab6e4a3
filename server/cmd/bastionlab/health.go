package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// healthTime is how long a server that works may take to say so. Orchestrators ask often, and wait for the answer.
const healthTime = 3 * time.Second

func newHealthCommand() *cobra.Command {
	var l local
	command := &cobra.Command{
		Use:   "health",
		Short: "Say whether the server on this machine is ready to answer: exit status 0, else 8",
		Args:  noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			return l.call(command, func(ctx context.Context, conn *grpc.ClientConn, trailer grpc.CallOption) error {
				ctx, cancel := context.WithTimeout(ctx, healthTime)
				defer cancel()
				answer, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{}, trailer)
				if status.Code(err) == codes.DeadlineExceeded {
					return refusal.New(refusal.Unavailable, "look at its log, and restart it if it stays so", "the server in %s does not answer within %s", l.dataDir, healthTime)
				}
				if err != nil {
					return err
				}
				if answer.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
					return refusal.New(refusal.Unavailable, "ask again when it has started, or start it with `bastionlab serve`", "the server in %s is not ready: it starts or stops", l.dataDir)
				}
				return l.print(command, answer, [][]string{{"ready"}})
			})
		},
	}
	l.register(command)
	return command
}
