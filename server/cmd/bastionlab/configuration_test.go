package main

import (
	"bytes"
	"crypto/sha512"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/bastionlab/bastionlab/server/internal/storage"
)

var update = flag.Bool("update", false, "write docs/operations/configuration.md")

const configurationPage = "../../../docs/operations/configuration.md"

// changed is another value of each setting than its default.
func changed(t *testing.T, name string) string {
	t.Helper()
	if name == "trainer" {
		return "/bin/sh"
	}
	values := map[string]string{
		"listen": "127.0.0.1:1", "data-dir": "/data", "log-level": "debug", "log-format": "text", "memory-limit": "1GiB", "threads": "99", "drain-time": "1s",
		"cuda": "true", "development": "true", "endorsement": "/e", "storage": "memory", "metrics-listen": "127.0.0.1:2", "metrics-datasets": "true",
		"trace-endpoint": "http://127.0.0.1:3", "config": "/c",
	}
	value, ok := values[name]
	if !ok {
		t.Fatalf("this test does not know the setting %s", name)
	}
	return value
}

// attested finds out which settings the attested configuration has in it, by changing them one by one.
func attested(t *testing.T) map[string]bool {
	t.Helper()
	trainer := filepath.Join(t.TempDir(), "trainer")
	for _, path := range []string{trainer, trainer + "-cuda"} {
		if err := os.WriteFile(path, nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	digestWith := func(change ...[2]string) [48]byte {
		var s settings
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		s.register(flags)
		s.trainer = trainer
		for _, each := range change {
			if err := flags.Set(each[0], each[1]); err != nil {
				t.Fatal(err)
			}
		}
		digest, err := s.digest(s.storageLevel(func(string) bool { return false }))
		if err != nil {
			t.Fatal(err)
		}
		return digest
	}
	found := map[string]bool{}
	table().VisitAll(func(each *pflag.Flag) {
		before := [2]string{"metrics-listen", "127.0.0.1:2"} // without which metrics-datasets means nothing
		if each.Name == "metrics-listen" {
			before = [2]string{"config", "/c"}
		}
		found[each.Name] = digestWith(before) != digestWith(before, [2]string{each.Name, changed(t, each.Name)})
	})
	return found
}

func table() *pflag.FlagSet {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	new(settings).register(flags)
	return flags
}

func TestTheAttestedConfigurationIsWhatADataOwnersTrustDependsOn(t *testing.T) {
	var in []string
	for name, yes := range attested(t) {
		if yes {
			in = append(in, name)
		}
	}
	slices.Sort(in)
	want := []string{"cuda", "development", "log-level", "metrics-datasets", "metrics-listen", "storage", "trace-endpoint", "trainer"}
	if !slices.Equal(in, want) {
		t.Errorf("it holds %v, want %v", in, want)
	}
	// Digests that owners pinned stay what they were where nothing leaves by another door.
	var s settings
	s.register(pflag.NewFlagSet("", pflag.ContinueOnError))
	s.trainer = filepath.Join(t.TempDir(), "trainer")
	if err := os.WriteFile(s.trainer, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	const text = "bastionlab configuration 1\ndevelopment = false\nlog-level = info\nstorage = memory\ntrainer-sha256 = e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n"
	got, err := s.digest(storage.Memory)
	if want := sha512.Sum384([]byte(text)); err != nil || got != want {
		t.Errorf("%x, %v; want %x", got, err, want)
	}
	s.cuda = true
	if _, err := s.digest(storage.Memory); err == nil {
		t.Error("without the trainer for GPUs there is a digest of the settings")
	}
	if err := os.WriteFile(s.trainer+"-cuda", nil, 0o700); err != nil {
		t.Fatal(err)
	}
	got, err = s.digest(storage.Memory)
	withGPU := strings.Replace(text, "development =", "cuda-trainer-sha256 = "+strings.TrimSpace(text[strings.LastIndex(text, " "):])+"\ndevelopment =", 1)
	if want := sha512.Sum384([]byte(withGPU)); err != nil || got != want {
		t.Errorf("%x, %v; want %x", got, err, want)
	}
	s.cuda = false
	s.metricsListen, s.traceEndpoint = "127.0.0.1:1", "http://127.0.0.1:2"
	got, err = s.digest(storage.Memory)
	withDoors := strings.Replace(text, "storage =", "metrics-datasets = false\nmetrics-listen = true\nstorage =", 1)
	withDoors = strings.Replace(withDoors, "trainer-sha256 =", "trace-endpoint = true\ntrainer-sha256 =", 1)
	if want := sha512.Sum384([]byte(withDoors)); err != nil || got != want {
		t.Errorf("%x, %v; want %x", got, err, want)
	}
}

func TestTheConfigurationPageIsTheTable(t *testing.T) {
	content, err := os.ReadFile(configurationPage)
	if err != nil {
		t.Fatal(err)
	}
	head, _, ok := strings.Cut(string(content), tableBegins)
	_, tail, okToo := strings.Cut(string(content), tableEnds)
	if !ok || !okToo {
		t.Fatalf("the page has no %q and %q", tableBegins, tableEnds)
	}
	want := head + tableBegins + "\n" + settingsTable(attested(t)) + tableEnds + tail
	if *update {
		if err := os.WriteFile(configurationPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(content) {
		t.Errorf("the page is not the table: `go test ./cmd/bastionlab -run ConfigurationPage -update` writes it")
	}
}

const (
	tableBegins = "<!-- the table of settings, written by a test -->"
	tableEnds   = "<!-- end of the table -->"
)

func settingsTable(attested map[string]bool) string {
	var text bytes.Buffer
	table().VisitAll(func(each *pflag.Flag) {
		kind, meaning := pflag.UnquoteUsage(each)
		if kind == "" {
			kind = "bool"
		}
		meaning, fallback, ok := strings.Cut(meaning, " (default ")
		fallback = strings.TrimSuffix(fallback, ")")
		if !ok {
			fallback = each.DefValue
		}
		switch each.Name {
		case "threads":
			fallback = "as many as the machine has processors"
		case "config", "endorsement":
			fallback = "none"
		}
		in := "no"
		if attested[each.Name] {
			in = "yes"
		}
		fmt.Fprintf(&text, "\n## `%s`\n\n%s.\n\n", each.Name, strings.ToUpper(meaning[:1])+meaning[1:])
		fmt.Fprintf(&text, "| flag | environment | kind | default | attested |\n|---|---|---|---|---|\n| `--%s` | `%s` | %s | %s | %s |\n", each.Name, environmentName(each.Name), kind, fallback, in)
	})
	text.WriteString("\n")
	return text.String()
}

func TestAllWrongSettingsAreToldAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("threads = many\nlog-level = loud\nnonsense\ndrain-time = 11m\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("BASTIONLAB_LOG_FORMAT", "xml")
	t.Setenv("BASTIONLAB_METRICS_LISTEN", "9464")
	t.Setenv("BASTIONLAB_TRACE_ENDPOINT", "here")
	var stdout, stderr bytes.Buffer
	if status := run(t.Context(), []string{"serve", "--config", file, "--trainer", "/bin/true"}, &stdout, &stderr); status != 2 {
		t.Errorf("exit status %d", status)
	}
	for _, word := range []string{"many", "line 3", "loud", "xml", "9464", "trace-endpoint", "11m"} {
		if strings.Count(stderr.String(), word) == 0 {
			t.Errorf("%q is not told:\n%s", word, stderr.String())
		}
	}
	if strings.Contains(stderr.String(), `--threads does not take "0"`) {
		t.Errorf("one mistake is told twice:\n%s", stderr.String())
	}
}

func TestPrintConfigSaysWhereEachValueComesFrom(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("threads = 3\nlog-level = warn\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("BASTIONLAB_LOG_LEVEL", "error")
	t.Setenv("BASTIONLAB_DRIAN_TIME", "1s")
	t.Setenv("BASTIONLAB_HOME", "/home")
	var stdout, stderr bytes.Buffer
	if status := run(t.Context(), []string{"serve", "--config", file, "--trainer", "/bin/true", "--print-config"}, &stdout, &stderr); status != 0 {
		t.Fatalf("exit status %d\n%s", status, stderr.String())
	}
	got := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(stdout.String()), "\n") {
		fields := strings.Fields(line)
		got[fields[0]] = strings.Join(fields[1:], " ")
	}
	for name, want := range map[string]string{"threads": "3 file", "log-level": "error environment", "trainer": "/bin/true command line", "drain-time": "3s default", "metrics-listen": "- default"} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if said := stderr.String(); !strings.Contains(said, "BASTIONLAB_DRIAN_TIME; the setting is BASTIONLAB_DRAIN_TIME") || strings.Contains(said, "HOME") {
		t.Errorf("of the environment it says %q", said)
	}
}

// What clients, commands and tests read is not taken for a setting that was misspelt.
func TestOthersVariablesAreNotMisspelt(t *testing.T) {
	for _, name := range []string{"BASTIONLAB_HOME", "BASTIONLAB_SERVER", "BASTIONLAB_ALL", "BASTIONLAB_CONNECT", "BASTIONLAB_IDENTITY", "BASTIONLAB_LOG_LEVEL", "HOME"} {
		if found := misspelt(newServeCommand(), []string{name + "=x"}); found != nil {
			t.Errorf("%s is taken for %v", name, found)
		}
	}
}
