package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

func newDatasetCommand() *cobra.Command {
	group := &cobra.Command{Use: "dataset", Short: "The datasets of the server on this machine, and what they cost", RunE: refuseUnknownCommand}
	group.AddCommand(newDatasetList(), newDatasetShow(), newDatasetBudget(), newDatasetLimit(), newDatasetGrant(), newDatasetRevoke())
	return group
}

func newDatasetList() *cobra.Command {
	return newLocalCommand("list", "List the datasets, newest first", noArguments,
		func(ctx context.Context, conn *grpc.ClientConn, _ []string, trailer grpc.CallOption) (*bastionlabv1.ListDatasetsResponse, error) {
			return bastionlabv1.NewDatasetServiceClient(conn).ListDatasets(ctx, &bastionlabv1.ListDatasetsRequest{}, trailer)
		}, datasetListRows)
}

func datasetListRows(found *bastionlabv1.ListDatasetsResponse) [][]string {
	rows := [][]string{{"ID", "NAME", "SAMPLES", "LIMIT", "OWNER", "CREATED"}}
	for _, d := range found.GetDatasets() {
		rows = append(rows, []string{d.GetId(), plain(d.GetName()), fmt.Sprint(d.GetDeclaredSamples()), limitText(d.PrivacyLimitNano), short(d.GetOwner()), timeText(d.GetCreatedUnixMs())})
	}
	return rows
}

func newDatasetShow() *cobra.Command {
	return newLocalCommand("show ID", "Show what others see of a dataset", oneArgument,
		func(ctx context.Context, conn *grpc.ClientConn, arguments []string, trailer grpc.CallOption) (*bastionlabv1.Dataset, error) {
			return bastionlabv1.NewDatasetServiceClient(conn).GetDataset(ctx, &bastionlabv1.GetDatasetRequest{Id: arguments[0]}, trailer)
		}, datasetRows)
}

func datasetRows(d *bastionlabv1.Dataset) [][]string {
	rows := [][]string{
		{"id", d.GetId()}, {"name", plain(d.GetName())}, {"description", plain(d.GetDescription())},
		{"declared samples", fmt.Sprint(d.GetDeclaredSamples())}, {"privacy limit", limitText(d.PrivacyLimitNano)},
		{"delta", accounting.Delta(d.GetDeltaAtto()).String()}, {"owner", d.GetOwner()}, {"created", timeText(d.GetCreatedUnixMs())},
	}
	if d.GetTestId() != "" {
		rows = append(rows, []string{"test set", d.GetTestId()})
	}
	for _, input := range d.GetSchema().GetInputs() {
		rows = append(rows, []string{"input", tensorText(input)})
	}
	return append(rows, []string{"label", tensorText(d.GetSchema().GetLabel())})
}

func newDatasetBudget() *cobra.Command {
	return newLocalCommand("budget ID", "Show what was spent of a dataset's privacy budget, and by which runs", oneArgument,
		func(ctx context.Context, conn *grpc.ClientConn, arguments []string, trailer grpc.CallOption) (*bastionlabv1.Budget, error) {
			return bastionlabv1.NewDatasetServiceClient(conn).GetBudget(ctx, &bastionlabv1.GetBudgetRequest{DatasetId: arguments[0]}, trailer)
		}, budgetRows)
}

func budgetRows(budget *bastionlabv1.Budget) [][]string {
	rows := [][]string{{"RUN", "EPS", "DELTA", "STATUS", "CREATED"}}
	for _, run := range budget.GetRuns() {
		rows = append(rows, []string{run.GetRunId(), spentText(run.GetEpsilonNano(), run.GetInfinite()), accounting.Delta(run.GetDeltaAtto()).String(), run.GetStatus(), timeText(run.GetCreatedUnixMs())})
	}
	remaining := accounting.Epsilon(budget.GetRemainingNano()).String()
	if budget.LimitNano == nil {
		remaining = "-"
	}
	rows = append(rows, []string{}, []string{"limit", limitText(budget.LimitNano)},
		[]string{"spent", spentText(budget.GetSpentNano(), budget.GetSpentInfinite())}, []string{"remaining", remaining})
	for _, s := range budget.GetScientists() {
		rows = append(rows, []string{"limit of " + short(s.GetScientist()), accounting.Epsilon(s.GetLimitNano()).String(), "spent " + accounting.Epsilon(s.GetSpentNano()).String()})
	}
	if len(budget.GetDatasets()) > 1 {
		rows = append(rows, []string{"datasets on this account", strings.Join(budget.GetDatasets(), " ")})
	}
	if budget.GetFrozen() != "" {
		rows = append(rows, []string{"frozen", budget.GetFrozen()})
	}
	return rows
}

func newDatasetLimit() *cobra.Command {
	var scientist string
	twoArguments := func(command *cobra.Command, arguments []string) error {
		if len(arguments) != 2 {
			return usageError(command, "%q takes a dataset and an eps, got %d arguments", command.CommandPath(), len(arguments))
		}
		return nil
	}
	command := newRemoteCommand("limit ID EPS", "As its owner, lower the privacy limit of a dataset, for all or for one scientist", twoArguments,
		func(ctx context.Context, conn *grpc.ClientConn, arguments []string, trailer grpc.CallOption) (*bastionlabv1.Budget, error) {
			limit, err := strconv.ParseFloat(arguments[1], 64)
			if err != nil {
				return nil, refusal.New(refusal.InvalidArgument, "give a number, for example 2.5", "%.40q is no privacy limit", arguments[1])
			}
			request := &bastionlabv1.LowerLimitRequest{DatasetId: arguments[0], PrivacyLimit: limit, Scientist: scientist}
			return bastionlabv1.NewDatasetServiceClient(conn).LowerLimit(ctx, request, trailer)
		}, budgetRows)
	command.Flags().StringVar(&scientist, "scientist", "", "whose runs it is for: the SHA-256 of their public key, in hex")
	return command
}

func limitText(limitNano *int64) string {
	if limitNano == nil {
		return "none"
	}
	return accounting.Epsilon(*limitNano).String()
}

func spentText(nano int64, infinite bool) string {
	if infinite {
		return "inf"
	}
	return accounting.Epsilon(nano).String()
}

func tensorText(spec *bastionlabv1.TensorSpec) string {
	return fmt.Sprintf("%s %s %v", plain(spec.GetName()), strings.ToLower(strings.TrimPrefix(spec.GetDtype().String(), "DTYPE_")), spec.GetShape())
}
