package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/server"
	"github.com/bastionlab/bastionlab/server/internal/version"
)

// callTime bounds one call of the command line; cancelling a run waits for its trainer's end.
const callTime = time.Minute

// takeAnswers lets an answer be as large as servers send them; gRPC by itself takes 4 MiB.
var takeAnswers = grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(server.MaxAnswerBytes))

// local is a command that speaks to the server of this machine, through the socket in its data directory.
type local struct {
	dataDir string
	json    bool
}

func (l *local) register(command *cobra.Command) {
	registerDataDir(command.Flags(), &l.dataDir)
	command.Flags().BoolVar(&l.json, "json", false, "print JSON")
}

// newLocalCommand makes a command that asks the server of this machine one thing, and prints the answer.
func newLocalCommand[A proto.Message](use, about string, wanted cobra.PositionalArgs,
	ask func(ctx context.Context, conn *grpc.ClientConn, arguments []string, trailer grpc.CallOption) (A, error), rows func(A) [][]string,
) *cobra.Command {
	var l local
	command := &cobra.Command{Use: use, Short: about, Args: wanted}
	command.RunE = func(command *cobra.Command, arguments []string) error {
		return l.call(command, func(ctx context.Context, conn *grpc.ClientConn, trailer grpc.CallOption) error {
			answer, err := ask(ctx, conn, arguments, trailer)
			if err != nil {
				return err
			}
			return l.print(command, answer, rows(answer))
		})
	}
	l.register(command)
	return command
}

// call connects, makes one call and turns what the server says into what a command returns.
func (l *local) call(command *cobra.Command, do func(ctx context.Context, conn *grpc.ClientConn, trailer grpc.CallOption) error) error {
	if err := fillFromEnvironment(command, os.LookupEnv); err != nil {
		return err
	}
	if l.dataDir == "" {
		var err error
		if l.dataDir, err = defaultDataDir(os.LookupEnv); err != nil {
			return err
		}
	}
	socket, err := openLocalSocket(l.dataDir)
	if err != nil {
		return l.noServer(err)
	}
	defer socket.directory.Close()
	var unreached atomic.Value // why nobody could be dialled, which gRPC wraps in words of its own
	conn, err := grpc.NewClient("passthrough:operator", grpc.WithTransportCredentials(insecure.NewCredentials()), takeAnswers,
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			found, err := socket.dial(ctx)
			if errno := syscall.Errno(0); errors.As(err, &errno) {
				unreached.Store(errno)
			}
			return found, err
		}))
	if err != nil {
		return fmt.Errorf("make a connection: %w", err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(command.Context(), callTime)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, server.ProtocolKey, fmt.Sprint(server.Protocol), server.ClientVersionKey, version.Number)
	var trailer metadata.MD
	if err := do(ctx, conn, grpc.Trailer(&trailer)); err != nil {
		if errno, ok := unreached.Load().(syscall.Errno); ok && status.Code(err) == codes.Unavailable {
			return l.noServer(fmt.Errorf("its socket: %w", errno))
		}
		return l.refused(err, trailer)
	}
	return nil
}

func (l *local) noServer(cause error) error {
	return refusal.New(refusal.Unavailable, "start one with `bastionlab serve`, or name its directory with --data-dir",
		"no server answers in %s: %s", l.dataDir, cause)
}

// refused is the refusal that came over the wire.
func (l *local) refused(err error, trailer metadata.MD) error {
	if refused := refusedBy(trailer); refused != nil {
		return refused
	}
	if status.Code(err) == codes.Unavailable {
		return l.noServer(err)
	}
	return err
}

// refusedBy is what a trailer holds, or nil.
func refusedBy(trailer metadata.MD) error {
	detail := &bastionlabv1.ErrorDetail{}
	values := trailer.Get(server.ErrorTrailer)
	if len(values) != 1 || proto.Unmarshal([]byte(values[0]), detail) != nil {
		return nil
	}
	return &refusal.Error{Kind: refusal.Kind(detail.GetKind()), What: detail.GetWhat(), Spent: detail.GetSpent(), Next: detail.GetNext()}
}
