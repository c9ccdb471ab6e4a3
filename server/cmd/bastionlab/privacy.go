package main

import "github.com/spf13/cobra"

func newPrivacyCommand() *cobra.Command {
	return newGroup("privacy", "What a run costs, and what noise a run needs, offline")
}
