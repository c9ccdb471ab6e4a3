package main

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// printConfig is the flag that shows the settings in place of serving. It is no setting itself.
const printConfig = "print-config"

// printSettings shows every setting with its value and where that comes from. None of them is a secret.
func printSettings(command *cobra.Command, s settings) error {
	table := pflag.NewFlagSet("", pflag.ContinueOnError)
	new(settings).register(table)
	var rows [][]string
	table.VisitAll(func(each *pflag.Flag) {
		flag := command.Flags().Lookup(each.Name)
		value := flag.Value.String()
		if flag.Name == "storage" {
			value = string(s.storageLevel(fileExists))
		}
		rows = append(rows, []string{flag.Name, cmp.Or(value, "-"), sourceOf(flag)})
	})
	return printTable(command, rows)
}

// sayMisspelt tells of variables that look like settings and are none.
func sayMisspelt(command *cobra.Command, environment []string) {
	for _, each := range misspelt(command, environment) {
		fmt.Fprintf(command.ErrOrStderr(), "bastionlab: nothing reads the environment variable %s; the setting is %s\n", each[0], each[1])
	}
}
