package main

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

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
		first, host string
		beyond, bad bool
	}{
		"":                   {first: "127.0.0.1:50056"},
		"127.0.0.1:1":        {first: "127.0.0.1:1", host: "127.0.0.1"},
		"127.8.9.1:1":        {first: "127.8.9.1:1", host: "127.8.9.1"},
		"[::1]:1":            {first: "[::1]:1", host: "::1"},
		"localhost:1":        {first: "localhost:1", host: "localhost"},
		":1":                 {first: ":1", beyond: true},
		"0.0.0.0:1":          {first: "0.0.0.0:1", beyond: true},
		"[::]:1":             {first: "[::]:1", beyond: true},
		"10.0.0.1:1":         {first: "10.0.0.1:1", host: "10.0.0.1", beyond: true},
		"data.example:1":     {first: "data.example:1", host: "data.example", beyond: true},
		"localhost.evil:1":   {first: "localhost.evil:1", host: "localhost.evil", beyond: true},
		"[::ffff:8.8.8.8]:1": {first: "[::ffff:8.8.8.8]:1", host: "::ffff:8.8.8.8", beyond: true},
		"50056":              {bad: true},
		"a:b:c":              {bad: true},
	} {
		t.Run(listen, func(t *testing.T) {
			list, host, beyond, err := addresses(listen)
			if test.bad {
				if refusal.KindOf(err) != refusal.InvalidArgument {
					t.Errorf("it is taken as %v, %v", list, err)
				}
				return
			}
			if err != nil || list[0] != test.first || host != test.host || beyond != test.beyond {
				t.Errorf("%v, host %q, beyond %t, %v", list, host, beyond, err)
			}
		})
	}
}
