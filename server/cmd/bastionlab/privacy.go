package main

import "github.com/spf13/cobra"

func newPrivacyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "privacy",
		Short: "What a run costs, and what noise a run needs, offline",
		RunE:  refuseUnknownCommand,
	}
}
