package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// print writes a result to stdout: rows for a person, the message for a script.
func (l *local) print(command *cobra.Command, message proto.Message, rows [][]string) error {
	if l.json {
		encoded, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(message)
		if err != nil {
			return fmt.Errorf("encode the answer: %w", err)
		}
		_, err = fmt.Fprintln(command.OutOrStdout(), string(encoded))
		return err
	}
	return printTable(command, rows)
}

func printTable(command *cobra.Command, rows [][]string) error {
	table := tabwriter.NewWriter(command.OutOrStdout(), 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	return table.Flush()
}

// plain keeps a name that somebody else chose from steering the terminal.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
}

// short is enough of a key's name to tell it from others.
func short(user string) string { return user[:min(len(user), 12)] }

func timeText(unixMS int64) string {
	if unixMS == 0 {
		return "-"
	}
	return time.UnixMilli(unixMS).Format(time.DateTime)
}

// oneArgument refuses anything but one positional argument, with the exit status of a wrong command line.
func oneArgument(command *cobra.Command, arguments []string) error {
	if len(arguments) != 1 {
		return usageError(command, "%q takes one argument, got %d", command.CommandPath(), len(arguments))
	}
	return nil
}
