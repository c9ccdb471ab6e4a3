package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// sourceAnnotation is where a flag keeps what set it, where that was not the command line.
const sourceAnnotation = "source"

func environmentName(flag string) string {
	return environmentPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func fillFromEnvironment(command *cobra.Command, environment func(string) (string, bool)) error {
	var errs []error
	command.Flags().VisitAll(func(flag *pflag.Flag) {
		name := environmentName(flag.Name)
		value, ok := environment(name)
		if ok && !flag.Changed {
			errs = append(errs, setFlag(command, flag.Name, value, "in the environment variable "+name, "environment"))
		}
	})
	return errors.Join(errs...)
}

func fillFromFile(command *cobra.Command, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return refusal.New(refusal.InvalidArgument, "give the path of a readable file", "the configuration file cannot be read: %s", err)
	}
	defer file.Close()
	var errs []error
	seen := map[string]bool{}
	scanner := bufio.NewScanner(file)
	for number := 1; scanner.Scan(); number++ {
		line := strings.TrimSpace(scanner.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		where := fmt.Sprintf("in line %d of %s", number, path)
		name, value, ok := strings.Cut(line, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		flag := command.Flags().Lookup(name)
		if !ok || flag == nil || slices.Contains(notInFiles, name) || seen[name] {
			errs = append(errs, usageError(command, "%s: expected `name = value`, each setting once, got %q", where, line))
			continue
		}
		seen[name] = true
		if !flag.Changed {
			errs = append(errs, setFlag(command, name, value, where, "file"))
		}
	}
	if err := scanner.Err(); err != nil {
		errs = append(errs, refusal.New(refusal.InvalidArgument, "give a text file", "the configuration file cannot be read: %s", err))
	}
	return errors.Join(errs...)
}

// notInFiles are the flags that a configuration file cannot hold.
var notInFiles = []string{"config", "help", "json", printConfig}

func setFlag(command *cobra.Command, name, value, where, source string) error {
	flag := command.Flags().Lookup(name)
	before := flag.Value.String()
	if err := command.Flags().Set(name, value); err != nil {
		_ = flag.Value.Set(before) // some kinds of values are zero now, which would be told of a second time
		return usageError(command, "%s: %s", where, err)
	}
	return command.Flags().SetAnnotation(name, sourceAnnotation, []string{source})
}

// sourceOf says what a flag's value comes from.
func sourceOf(flag *pflag.Flag) string {
	switch source := flag.Annotations[sourceAnnotation]; {
	case len(source) == 1:
		return source[0]
	case flag.Changed:
		return "command line"
	}
	return "default"
}

// misspelt finds environment variables that nothing reads and whose names are close to a setting's: each with the one that was meant, perhaps.
func misspelt(command *cobra.Command, environment []string) (found [][2]string) {
	for _, entry := range environment {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, environmentPrefix) {
			continue
		}
		meant, nearest := "", maxMisspelling+1
		command.Flags().VisitAll(func(flag *pflag.Flag) {
			if setting := environmentName(flag.Name); flag.Name != "help" {
				if off := distance(name, setting); off < nearest {
					meant, nearest = setting, off
				}
			}
		})
		if nearest > 0 && nearest <= maxMisspelling {
			found = append(found, [2]string{name, meant})
		}
	}
	slices.SortFunc(found, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	return found
}

// maxMisspelling is how many letters a name may be off and still be taken for a setting's. Those that clients and tests read are further away.
const maxMisspelling = 2

// distance is how many letters are to be put in, left out or exchanged to make one text of the other (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		left, diagonal := i+1, row[0]
		row[0] = left
		for j := range b {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, left = row[j+1], min(row[j+1]+1, left+1, diagonal+cost)
			row[j+1] = left
		}
	}
	return row[len(b)]
}
