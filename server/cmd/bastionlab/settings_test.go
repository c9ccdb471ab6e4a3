package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

func TestSettingsComeFromFlagsThenEnvironmentThenFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bastionlab.conf")
	if err := os.WriteFile(file, []byte("# a comment\nthreads = 3\n\nlog-level=warn\nmemory-limit = 2GiB\ntrainer = /bin/true\ndevelopment = true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	environment := map[string]string{"BASTIONLAB_LOG_LEVEL": "error", "BASTIONLAB_DATA_DIR": "/data", "BASTIONLAB_THREADS": "4", "BASTIONLAB_UNKNOWN": "x"}
	var s settings
	command := newServeCommand()
	command.ResetFlags()
	s.register(command.Flags())
	if err := command.ParseFlags([]string{"--config", file, "--threads", "5"}); err != nil {
		t.Fatal(err)
	}
	err := s.complete(command, func(name string) (string, bool) { value, ok := environment[name]; return value, ok })
	if err != nil {
		t.Fatal(err)
	}
	want := settings{dataDir: "/data", trainer: "/bin/true", logLevel: "error", logFormat: "json", drainTime: defaultDrainTime, memoryLimit: 2 << 30, threads: 5, development: true, config: file}
	if s != want {
		t.Errorf("%+v, want %+v", s, want)
	}
	for name, content := range map[string]string{
		"no pair": "threads", "unknown": "thread = 1", "twice": "threads = 1\nthreads = 2", "no number": "threads = many", "a file of files": "config = x", "no size": "memory-limit = 8 apples",
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(file, []byte(content+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			command := newServeCommand()
			command.ResetFlags()
			var s settings
			s.register(command.Flags())
			if err := command.ParseFlags([]string{"--config", file}); err != nil {
				t.Fatal(err)
			}
			err := s.complete(command, func(string) (string, bool) { return "", false })
			if refusal.KindOf(err) != refusal.InvalidArgument || !strings.Contains(err.Error(), fmt.Sprintf("line %d of %s", strings.Count(content, "\n")+1, file)) {
				t.Errorf("it is read as %v", err)
			}
		})
	}
}

// SECURITY: what a setting holds is shown by --print-config and logged.
func TestACollectorsPasswordIsNoSetting(t *testing.T) {
	for endpoint, taken := range map[string]bool{
		"http://127.0.0.1:4318/v1/traces": true, "https://collector.example": true,
		"https://name:SECRET@collector.example/v1/traces": false, "https://SECRET@collector.example": false, "https://collector.example/v1/traces?key=SECRET": false,
		"SECRET": false, "ftp://SECRET": false, "https://name:SECRET@:bad:/": false, "http://": false,
	} {
		err := checkEndpoint(endpoint)
		if taken != (err == nil) || err != nil && (refusal.KindOf(err) != refusal.InvalidArgument || strings.Contains(err.Error(), "SECRET")) {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}

func FuzzByteSize(f *testing.F) {
	for _, text := range []string{"8GiB", "512 MiB", "1", "-1", "0", "9999999999TiB", "GiB", "1e3", "٣"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var size, again byteSize
		if size.Set(text) != nil {
			return
		}
		if size < 1 {
			t.Errorf("%q reads as %d", text, size)
		}
		if err := again.Set(size.String()); err != nil || again != size {
			t.Errorf("%q is shown as %q, which reads as %d, %v", text, size.String(), again, err)
		}
	})
}

// Whatever a configuration file holds, it is taken or refused as a wrong setting, and nothing else happens.
func FuzzConfigurationFile(f *testing.F) {
	f.Add("threads = 2\n# comment\nlisten = [::1]:1\n")
	f.Add("config = x")
	f.Add("=\n==\nthreads")
	f.Add("development = perhaps")
	f.Fuzz(func(t *testing.T, content string) {
		file := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		command := newServeCommand()
		if err := fillFromFile(command, file); err != nil && refusal.KindOf(err) != refusal.InvalidArgument {
			t.Errorf("it is refused as %v", err)
		}
		if threads, err := command.Flags().GetInt("threads"); err != nil || strconv.Itoa(threads) != command.Flags().Lookup("threads").Value.String() {
			t.Errorf("threads are %d, %v", threads, err)
		}
	})
}

func TestAddresses(t *testing.T) {
	for listen, test := range map[string]struct {
		first       string
		beyond, bad bool
	}{
		"":                   {first: "127.0.0.1:50056"},
		"127.0.0.1:1":        {first: "127.0.0.1:1"},
		"127.8.9.1:1":        {first: "127.8.9.1:1"},
		"[::1]:1":            {first: "[::1]:1"},
		"localhost:1":        {first: "localhost:1"},
		":1":                 {first: ":1", beyond: true},
		"0.0.0.0:1":          {first: "0.0.0.0:1", beyond: true},
		"[::]:1":             {first: "[::]:1", beyond: true},
		"10.0.0.1:1":         {first: "10.0.0.1:1", beyond: true},
		"data.example:1":     {first: "data.example:1", beyond: true},
		"localhost.evil:1":   {first: "localhost.evil:1", beyond: true},
		"[::ffff:8.8.8.8]:1": {first: "[::ffff:8.8.8.8]:1", beyond: true},
		"50056":              {bad: true},
		"a:b:c":              {bad: true},
	} {
		t.Run(listen, func(t *testing.T) {
			list, beyond, err := addresses(listen)
			if test.bad {
				if refusal.KindOf(err) != refusal.InvalidArgument {
					t.Errorf("it is taken as %v, %v", list, err)
				}
				return
			}
			if err != nil || list[0] != test.first || beyond != test.beyond {
				t.Errorf("%v, beyond %t, %v", list, beyond, err)
			}
		})
	}
}
