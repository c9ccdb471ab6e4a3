package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/planning"
)

func newRunCommand() *cobra.Command {
	group := &cobra.Command{Use: "run", Short: "The training runs of the server on this machine", RunE: refuseUnknownCommand}
	group.AddCommand(newRunList(), newRunShow(), newRunApprove(), newRunDeny(), newRunCancel())
	return group
}

func newRunList() *cobra.Command {
	return newLocalCommand("list", "List the runs, newest first", noArguments,
		func(ctx context.Context, conn *grpc.ClientConn, _ []string, trailer grpc.CallOption) (*bastionlabv1.ListRunsResponse, error) {
			return bastionlabv1.NewTrainingServiceClient(conn).ListRuns(ctx, &bastionlabv1.ListRunsRequest{}, trailer)
		}, runListRows)
}

func runListRows(found *bastionlabv1.ListRunsResponse) [][]string {
	rows := [][]string{{"ID", "STATUS", "STEPS", "EPS", "DATASET", "SCIENTIST", "CREATED"}}
	for _, run := range found.GetRuns() {
		rows = append(rows, []string{run.GetId(), runStatus(run), stepsText(run), epsilonText(run.GetPlan()), run.GetDatasetId(), short(run.GetScientist()), timeText(run.GetCreatedUnixMs())})
	}
	return rows
}

func newRunShow() *cobra.Command {
	return newLocalCommand("show ID", "Show a run", oneArgument,
		func(ctx context.Context, conn *grpc.ClientConn, arguments []string, trailer grpc.CallOption) (*bastionlabv1.Run, error) {
			return bastionlabv1.NewTrainingServiceClient(conn).GetRun(ctx, &bastionlabv1.GetRunRequest{Id: arguments[0]}, trailer)
		}, runRows)
}

func newRunCancel() *cobra.Command {
	return newLocalCommand("cancel ID", "End a run; once it had the data it stays charged in full", oneArgument,
		func(ctx context.Context, conn *grpc.ClientConn, arguments []string, trailer grpc.CallOption) (*bastionlabv1.Run, error) {
			return bastionlabv1.NewTrainingServiceClient(conn).CancelRun(ctx, &bastionlabv1.CancelRunRequest{Id: arguments[0]}, trailer)
		}, runRows)
}

func newRunApprove() *cobra.Command {
	return newRemoteCommand("approve ID", "As the owner of its dataset, let a run that waits make one more attempt", oneArgument,
		func(ctx context.Context, conn *grpc.ClientConn, arguments []string, trailer grpc.CallOption) (*bastionlabv1.Run, error) {
			return bastionlabv1.NewTrainingServiceClient(conn).ApproveRun(ctx, &bastionlabv1.ApproveRunRequest{Id: arguments[0]}, trailer)
		}, runRows)
}

func newRunDeny() *cobra.Command {
	var reason string
	command := newRemoteCommand("deny ID", "As the owner of its dataset, end a run that waits; it stays charged in full", oneArgument,
		func(ctx context.Context, conn *grpc.ClientConn, arguments []string, trailer grpc.CallOption) (*bastionlabv1.Run, error) {
			return bastionlabv1.NewTrainingServiceClient(conn).DenyRun(ctx, &bastionlabv1.DenyRunRequest{Id: arguments[0], Reason: reason}, trailer)
		}, runRows)
	command.Flags().StringVar(&reason, "reason", "", "what the run's author is told")
	return command
}

func runRows(run *bastionlabv1.Run) [][]string {
	rows := [][]string{
		{"id", run.GetId()}, {"name", plain(run.GetName())}, {"status", runStatus(run)}, {"failure", run.GetFailure()},
		{"denial", plain(run.GetDenial())},
		{"steps", stepsText(run)}, {"eps", epsilonText(run.GetPlan())}, {"spent", run.GetSpent()},
		{"dataset", run.GetDatasetId()}, {"scientist", run.GetScientist()}, {"device", cmp.Or(run.GetPlan().GetDevice(), planning.CPU)},
		{"metric", run.GetPlan().GetMetric()}, {"result", resultText(run)},
		{"created", timeText(run.GetCreatedUnixMs())}, {"ended", timeText(run.GetEndedUnixMs())},
	}
	if run.GetInterruptions() > 0 {
		rows = append(rows, []string{"interruptions", fmt.Sprint(run.GetInterruptions())}) // told to the dataset's owner only
	}
	return rows
}

func runStatus(run *bastionlabv1.Run) string {
	return strings.ToLower(strings.TrimPrefix(run.GetStatus().String(), "RUN_STATUS_"))
}

// resultText is what a completed test found.
func resultText(run *bastionlabv1.Run) string {
	if run.GetResult() == nil {
		return ""
	}
	return fmt.Sprintf("%.4g +- %.2g", run.GetResult().GetValue(), run.GetResult().GetStandardError())
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
