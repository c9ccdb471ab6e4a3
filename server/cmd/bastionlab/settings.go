package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// settings is all that can be said to a server. The flags are the one table of them: each is also the environment variable
// BASTIONLAB_<NAME> and a line "name = value" of the file that --config names. The command line wins over the environment, and that over the
// file.
type settings struct {
	listen      string
	dataDir     string
	trainer     string
	logLevel    string
	memoryLimit byteSize
	threads     int
	development bool
	endorsement string
	storage     storageSetting
	config      string
}

const environmentPrefix = "BASTIONLAB_"

func (s *settings) register(flags *pflag.FlagSet) {
	flags.StringVar(&s.listen, "listen", "", "address to listen on (default 127.0.0.1:50056 and, where there is one, [::1]:50056)")
	registerDataDir(flags, &s.dataDir)
	registerTrainer(flags, &s.trainer)
	flags.StringVar(&s.logLevel, "log-level", "info", "debug, info, warn or error")
	flags.Var(&s.memoryLimit, "memory-limit", "memory that one trainer may take, such as 8GiB (default three quarters of the machine's)")
	flags.IntVar(&s.threads, "threads", runtime.NumCPU(), "threads of one trainer")
	flags.BoolVar(&s.development, "development", false, "allow development mode, in which every key is accepted, beyond this machine or in a TEE; it ends when the first user is registered")
	flags.StringVar(&s.endorsement, "endorsement", "", "file with the certificate of this chip's key (SEV-SNP, DER) or Intel's collateral (TDX, JSON), where the host hands out none")
	flags.Var(&s.storage, "storage", "where the key of what is stored lives: file, or memory, where a restart forgets the data (default memory in a TEE, else file)")
	flags.StringVar(&s.config, "config", "", "file of lines `name = value`, one for each setting")
}

func registerDataDir(flags *pflag.FlagSet, to *string) {
	flags.StringVar(to, "data-dir", "", "where everything is kept (default $XDG_DATA_HOME/bastionlab or ~/.local/share/bastionlab)")
}

func registerTrainer(flags *pflag.FlagSet, to *string) {
	flags.StringVar(to, "trainer", "", "the program bastionlab-trainer (default beside this one)")
}

// complete fills in what the command line left open: from the environment, from the configuration file, from the machine.
func (s *settings) complete(command *cobra.Command, environment func(string) (string, bool)) error {
	if err := fillFromEnvironment(command, environment); err != nil {
		return err
	}
	if s.config != "" {
		if err := fillFromFile(command, s.config); err != nil {
			return err
		}
	}
	var err error
	if s.dataDir == "" {
		if s.dataDir, err = defaultDataDir(environment); err != nil {
			return err
		}
	}
	if s.trainer == "" {
		if s.trainer, err = findTrainer(); err != nil {
			return err
		}
	}
	if s.threads < 1 {
		return refuseSetting("threads", "a number of at least 1", strconv.Itoa(s.threads))
	}
	if s.memoryLimit == 0 {
		s.memoryLimit, err = defaultMemoryLimit()
	}
	return err
}

func fillFromEnvironment(command *cobra.Command, environment func(string) (string, bool)) error {
	var errs []error
	command.Flags().VisitAll(func(flag *pflag.Flag) {
		name := environmentPrefix + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
		value, ok := environment(name)
		if ok && !flag.Changed {
			errs = append(errs, setFlag(command, flag.Name, value, "in the environment variable "+name))
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
		if !ok || flag == nil || name == "config" || name == "help" || seen[name] {
			return usageError(command, "%s: expected `name = value`, each setting once, got %q", where, line)
		}
		seen[name] = true
		if flag.Changed {
			continue
		}
		if err := setFlag(command, name, value, where); err != nil {
			return err
		}
	}
	if err := scanner.Err(); err != nil {
		return refusal.New(refusal.InvalidArgument, "give a text file", "the configuration file cannot be read: %s", err)
	}
	return nil
}

func setFlag(command *cobra.Command, name, value, where string) error {
	if err := command.Flags().Set(name, value); err != nil {
		return usageError(command, "%s: %s", where, err)
	}
	return nil
}

func defaultDataDir(environment func(string) (string, bool)) (string, error) {
	if base, ok := environment("XDG_DATA_HOME"); ok && filepath.IsAbs(base) {
		return filepath.Join(base, "bastionlab"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", refusal.New(refusal.InvalidArgument, "give --data-dir", "there is no home directory to keep the data in: %s", err)
	}
	return filepath.Join(home, ".local", "share", "bastionlab"), nil
}

const trainerName = "bastionlab-trainer"

// findTrainer looks where a build and an installation put it: beside this program.
func findTrainer() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}
	path := filepath.Join(filepath.Dir(self), trainerName)
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
		return "", refusal.New(refusal.Unavailable, "build it with `make`, or name it with --trainer", "there is no program %s", path)
	}
	return path, nil
}
