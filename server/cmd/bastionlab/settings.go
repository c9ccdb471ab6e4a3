package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// settings is all that can be said to a server. The flags are the one table of them: each is also the environment variable
// BASTIONLAB_<NAME> and a line "name = value" of the file that --config names. The command line wins over the environment, and that over the
// file. docs/operations/configuration.md is made of the table.
type settings struct {
	listen          string
	dataDir         string
	trainer         string
	logLevel        string
	logFormat       string
	memoryLimit     byteSize
	threads         int
	cuda            bool
	drainTime       time.Duration
	development     bool
	endorsement     string
	storage         storageSetting
	metricsListen   string
	metricsDatasets bool
	traceEndpoint   string
	config          string
}

const (
	environmentPrefix = "BASTIONLAB_"

	// defaultDrainTime leaves an orderly stop well under ten seconds: trainers take two at most, and what is left to close next to nothing.
	defaultDrainTime = 3 * time.Second
	maxDrainTime     = 10 * time.Minute
)

func (s *settings) register(flags *pflag.FlagSet) {
	flags.StringVar(&s.listen, "listen", "", "address to listen on (default 127.0.0.1:50056 and, where there is one, [::1]:50056)")
	registerDataDir(flags, &s.dataDir)
	registerTrainer(flags, &s.trainer)
	flags.StringVar(&s.logLevel, "log-level", "info", "debug, info, warn or error")
	flags.StringVar(&s.logFormat, "log-format", "json", "json, one object a line, or text, for a person's eyes")
	flags.Var(&s.memoryLimit, "memory-limit", "memory that one trainer may take, such as 8GiB (default three quarters of the machine's)")
	flags.IntVar(&s.threads, "threads", runtime.NumCPU(), "threads of one trainer")
	flags.BoolVar(&s.cuda, "cuda", false, "offer to compute runs on this machine's GPU too, by the program bastionlab-trainer-cuda beside the trainer; what runs there leaves what evidence speaks of, and needs the dataset owner's permission")
	flags.DurationVar(&s.drainTime, "drain-time", defaultDrainTime, "how long calls under way may take once the server was told to stop, up to 10m; trainers are stopped after them")
	flags.BoolVar(&s.development, "development", false, "allow development mode, in which every key is accepted, beyond this machine or in a TEE; it ends when the first user is registered")
	flags.StringVar(&s.endorsement, "endorsement", "", "file with the certificate of this chip's key (SEV-SNP, DER) or Intel's collateral (TDX, JSON), where the host hands out none")
	flags.Var(&s.storage, "storage", "where the key of what is stored lives: file, or memory, where a restart forgets the data (default memory in a TEE, else file)")
	flags.StringVar(&s.metricsListen, "metrics-listen", "", "address that answers /metrics, /healthz and /readyz in plain HTTP, such as 127.0.0.1:9464 (default none)")
	flags.BoolVar(&s.metricsDatasets, "metrics-datasets", false, "tell in the metrics what each dataset's limit is and what of it is spent, under its identifier")
	flags.StringVar(&s.traceEndpoint, "trace-endpoint", "", "collector that takes OpenTelemetry traces over HTTP, such as http://127.0.0.1:4318/v1/traces (default none: nothing is sent)")
	flags.StringVar(&s.config, "config", "", "file of lines \"name = value\", one for each setting")
}

func registerDataDir(flags *pflag.FlagSet, to *string) {
	flags.StringVar(to, "data-dir", "", "where everything is kept (default $XDG_DATA_HOME/bastionlab or ~/.local/share/bastionlab)")
}

func registerTrainer(flags *pflag.FlagSet, to *string) {
	flags.StringVar(to, "trainer", "", "the program bastionlab-trainer (default beside this one)")
}

// complete fills in what the command line left open: from the environment, from the configuration file, from the machine. It tells of all
// wrong settings at once.
func (s *settings) complete(command *cobra.Command, environment func(string) (string, bool)) error {
	errs := []error{fillFromEnvironment(command, environment)}
	if s.config != "" {
		errs = append(errs, fillFromFile(command, s.config))
	}
	var err error
	if s.dataDir == "" {
		s.dataDir, err = defaultDataDir(environment)
		errs = append(errs, err)
	}
	if s.trainer == "" {
		s.trainer, err = findTrainer()
		errs = append(errs, err)
	}
	if s.memoryLimit == 0 {
		s.memoryLimit, err = defaultMemoryLimit()
		errs = append(errs, err)
	}
	return errors.Join(append(errs, s.check())...)
}

// check judges the values by themselves; whether the machine has what they name is found out by those who need it.
func (s *settings) check() error {
	var errs []error
	if s.threads < 1 {
		errs = append(errs, refuseSetting("threads", "a number of at least 1", strconv.Itoa(s.threads)))
	}
	if new(slog.Level).UnmarshalText([]byte(s.logLevel)) != nil {
		errs = append(errs, refuseSetting("log-level", "debug, info, warn or error", s.logLevel))
	}
	if s.logFormat != "json" && s.logFormat != "text" {
		errs = append(errs, refuseSetting("log-format", "json or text", s.logFormat))
	}
	if s.drainTime < 0 || s.drainTime > maxDrainTime {
		errs = append(errs, refuseSetting("drain-time", "a time between 0s and 10m", s.drainTime.String()))
	}
	if _, _, err := addresses(s.listen); err != nil {
		errs = append(errs, err)
	}
	if _, _, err := net.SplitHostPort(s.metricsListen); s.metricsListen != "" && err != nil {
		errs = append(errs, refuseSetting("metrics-listen", "HOST:PORT, such as 127.0.0.1:9464", s.metricsListen))
	}
	if s.metricsDatasets && s.metricsListen == "" {
		errs = append(errs, refusal.New(refusal.InvalidArgument, "give --metrics-listen too, or leave --metrics-datasets out", "--metrics-datasets says what the metrics tell, and there are none"))
	}
	if s.traceEndpoint != "" {
		errs = append(errs, checkEndpoint(s.traceEndpoint))
	}
	return errors.Join(errs...)
}

// checkEndpoint takes the URL of a collector.
// SECURITY: with no password in it, for settings are shown and logged; a refusal does not say it either.
func checkEndpoint(text string) error {
	parsed, err := url.Parse(text)
	switch {
	case err != nil || (parsed.Scheme != "http" && parsed.Scheme != "https") || parsed.Host == "":
		return refusal.New(refusal.InvalidArgument, "give a URL such as http://127.0.0.1:4318/v1/traces for --trace-endpoint", "--trace-endpoint does not take what is no URL of http or https")
	case parsed.User != nil || parsed.RawQuery != "":
		return refusal.New(refusal.InvalidArgument, "put it into the environment variable OTEL_EXPORTER_OTLP_HEADERS, which is shown nowhere",
			"--trace-endpoint takes no password and nothing behind a question mark: settings are shown and logged, and the collector would not get it")
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

// cudaTrainer is the program that computes on a GPU: it lies beside the trainer, and has its name with an end of its own. Empty: none.
func (s *settings) cudaTrainer() string {
	if !s.cuda {
		return ""
	}
	return s.trainer + "-cuda"
}

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
