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

func newDatasetCommand() *cobra.Command {
	group := &cobra.Command{Use: "dataset", Short: "The datasets of the server on this machine, and what they cost", RunE: refuseUnknownCommand}
	group.AddCommand(newDatasetList(), newDatasetShow(), newDatasetBudget())
	return group
}

func newDatasetList() *cobra.Command {
	var l local
	command := &cobra.Command{Use: "list", Short: "List the datasets, newest first", Args: noArguments}
	command.RunE = func(command *cobra.Command, _ []string) error {
		return l.call(command, func(ctx context.Context, conn *grpc.ClientConn, trailer grpc.CallOption) error {
			found, err := bastionlabv1.NewDatasetServiceClient(conn).ListDatasets(ctx, &bastionlabv1.ListDatasetsRequest{}, trailer)
			if err != nil {
				return err
			}
			rows := [][]string{{"ID", "NAME", "SAMPLES", "LIMIT", "OWNER", "CREATED"}}
			for _, d := range found.GetDatasets() {
				rows = append(rows, []string{d.GetId(), plain(d.GetName()), fmt.Sprint(d.GetDeclaredSamples()), limitText(d.PrivacyLimitNano), short(d.GetOwner()), timeText(d.GetCreatedUnixMs())})
			}
			return l.print(command, found, rows)
		})
	}
	l.register(command)
	return command
}

func newDatasetShow() *cobra.Command {
	var l local
	command := &cobra.Command{Use: "show ID", Short: "Show what others see of a dataset", Args: oneArgument}
	command.RunE = func(command *cobra.Command, arguments []string) error {
		return l.call(command, func(ctx context.Context, conn *grpc.ClientConn, trailer grpc.CallOption) error {
			d, err := bastionlabv1.NewDatasetServiceClient(conn).GetDataset(ctx, &bastionlabv1.GetDatasetRequest{Id: arguments[0]}, trailer)
			if err != nil {
				return err
			}
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
			return l.print(command, d, append(rows, []string{"label", tensorText(d.GetSchema().GetLabel())}))
		})
	}
	l.register(command)
	return command
}

func newDatasetBudget() *cobra.Command {
	var l local
	command := &cobra.Command{Use: "budget ID", Short: "Show what was spent of a dataset's privacy budget, and by which runs", Args: oneArgument}
	command.RunE = func(command *cobra.Command, arguments []string) error {
		return l.call(command, func(ctx context.Context, conn *grpc.ClientConn, trailer grpc.CallOption) error {
			budget, err := bastionlabv1.NewDatasetServiceClient(conn).GetBudget(ctx, &bastionlabv1.GetBudgetRequest{DatasetId: arguments[0]}, trailer)
			if err != nil {
				return err
			}
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
			return l.print(command, budget, rows)
		})
	}
	l.register(command)
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
