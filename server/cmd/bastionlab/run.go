package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/accounting"
)

func newRunCommand() *cobra.Command {
	group := &cobra.Command{Use: "run", Short: "The training runs of the server on this machine", RunE: refuseUnknownCommand}
	group.AddCommand(newRunList(), newRunShow(), newRunCancel())
	return group
}

func newRunList() *cobra.Command {
	var l local
	command := &cobra.Command{Use: "list", Short: "List the runs, newest first", Args: noArguments}
	command.RunE = func(command *cobra.Command, _ []string) error {
		return l.call(command, func(ctx context.Context, conn *grpc.ClientConn, trailer grpc.CallOption) error {
			found, err := bastionlabv1.NewTrainingServiceClient(conn).ListRuns(ctx, &bastionlabv1.ListRunsRequest{}, trailer)
			if err != nil {
				return err
			}
			rows := [][]string{{"ID", "STATUS", "STEPS", "EPS", "DATASET", "SCIENTIST", "CREATED"}}
			for _, run := range found.GetRuns() {
				rows = append(rows, []string{run.GetId(), runStatus(run), stepsText(run), epsilonText(run.GetPlan()), run.GetDatasetId(), short(run.GetScientist()), timeText(run.GetCreatedUnixMs())})
			}
			return l.print(command, found, rows)
		})
	}
	l.register(command)
	return command
}

func newRunShow() *cobra.Command {
	return newRunCall("show ID", "Show a run", func(ctx context.Context, client bastionlabv1.TrainingServiceClient, id string, trailer grpc.CallOption) (*bastionlabv1.Run, error) {
		return client.GetRun(ctx, &bastionlabv1.GetRunRequest{Id: id}, trailer)
	})
}

func newRunCancel() *cobra.Command {
	return newRunCall("cancel ID", "End a run; once it had the data it stays charged in full", func(ctx context.Context, client bastionlabv1.TrainingServiceClient, id string, trailer grpc.CallOption) (*bastionlabv1.Run, error) {
		return client.CancelRun(ctx, &bastionlabv1.CancelRunRequest{Id: id}, trailer)
	})
}

type runCall func(ctx context.Context, client bastionlabv1.TrainingServiceClient, id string, trailer grpc.CallOption) (*bastionlabv1.Run, error)

func newRunCall(use, about string, do runCall) *cobra.Command {
	var l local
	command := &cobra.Command{Use: use, Short: about, Args: oneArgument}
	command.RunE = func(command *cobra.Command, arguments []string) error {
		return l.call(command, func(ctx context.Context, conn *grpc.ClientConn, trailer grpc.CallOption) error {
			run, err := do(ctx, bastionlabv1.NewTrainingServiceClient(conn), arguments[0], trailer)
			if err != nil {
				return err
			}
			rows := [][]string{
				{"id", run.GetId()}, {"name", plain(run.GetName())}, {"status", runStatus(run)}, {"failure", run.GetFailure()},
				{"steps", stepsText(run)}, {"eps", epsilonText(run.GetPlan())}, {"spent", run.GetSpent()},
				{"dataset", run.GetDatasetId()}, {"scientist", run.GetScientist()},
				{"created", timeText(run.GetCreatedUnixMs())}, {"ended", timeText(run.GetEndedUnixMs())},
			}
			return l.print(command, run, rows)
		})
	}
	l.register(command)
	return command
}

func runStatus(run *bastionlabv1.Run) string {
	return strings.ToLower(strings.TrimPrefix(run.GetStatus().String(), "RUN_STATUS_"))
}

func stepsText(run *bastionlabv1.Run) string {
	return fmt.Sprintf("%d/%d", run.GetStepsDone(), run.GetPlan().GetSteps())
}

func epsilonText(plan *bastionlabv1.Plan) string {
	if !plan.GetPrivate() {
		return "inf"
	}
	return accounting.Epsilon(plan.GetEpsilonNano()).String()
}
