package main

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/supervisor"
)

// machine is a root directory with what a driver leaves there.
func machine(t *testing.T, files ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, name := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("NVRM version: NVIDIA UNIX Open Kernel Module  580.1\nGCC version: 12\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func detailOf(findings []finding, name string) (ok bool, detail string) {
	for _, each := range findings {
		if each.Name == name {
			return each.OK, each.Detail
		}
	}
	return false, "not found"
}

func TestDoctorSaysWhatAGPULacks(t *testing.T) {
	trainer := filepath.Join(t.TempDir(), "trainer")
	whole := []string{"proc/driver/nvidia/version", "dev/nvidiactl", "dev/nvidia-uvm", "dev/nvidia0", "dev/nvidia1"}
	for _, test := range []struct {
		name, finding, detail string
		files                 []string
		ok                    bool
	}{
		{"no program", "GPU: trainer", "there is no program " + trainer + "-cuda: build it with `make -C server cuda`", whole, false},
		{"a driver", "GPU: driver", "NVIDIA UNIX Open Kernel Module  580.1", whole, true},
		{"no driver", "GPU: driver", "none is loaded", whole[1:], false},
		{"device files", "GPU: device files", "GPUs: 2, of which the first is used", whole, true},
		{"no device files", "GPU: device files", "there is no /dev/nvidiactl, /dev/nvidia-uvm, /dev/nvidia0", nil, false},
		{"no GPU", "GPU: device files", "there is no /dev/nvidia0: `nvidia-modprobe", whole[:3], false},
	} {
		t.Run(test.name, func(t *testing.T) {
			ok, detail := detailOf(examineGPU(t.Context(), settings{trainer: trainer, cuda: true}, machine(t, test.files...)), test.finding)
			if ok != test.ok || !strings.Contains(detail, test.detail) {
				t.Errorf("%t, %q", ok, detail)
			}
		})
	}
}

// Nobody lacks a GPU who did not ask for one.
func TestDoctorLacksNoGPUWithoutTheSetting(t *testing.T) {
	findings := examineGPU(t.Context(), settings{}, machine(t))
	if len(findings) != 1 || !findings[0].OK || !strings.Contains(findings[0].Detail, "not used: --cuda offers it") || verdict(findings) != nil {
		t.Errorf("%+v", findings)
	}
	err := verdict([]finding{{"GPU: driver", false, ""}})
	var refused *refusal.Error
	if !errors.As(err, &refused) || !strings.Contains(refused.What, "the GPU cannot be used") || !strings.Contains(refused.Next, "docs/gpu.md") {
		t.Errorf("%v", err)
	}
}

// A server that was told to offer a GPU and has none does not start, in development mode neither.
func TestAServerWithoutTheTrainerForGPUsDoesNotStart(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	s := settings{trainer: "/bin/true", cuda: true, threads: 1}
	if _, err := openLauncher(t.Context(), s, log, true, nil); refusal.KindOf(err) != refusal.Unavailable || !strings.Contains(err.Error(), "there is no program /bin/true-cuda") {
		t.Errorf("no program: %v", err)
	}
	l, err := supervisor.New(supervisor.Config{Path: "/bin/true", CUDAPath: "/bin/true", Threads: 1, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openGPU(t.Context(), l, s, log, true); refusal.KindOf(err) != refusal.Unavailable || !strings.Contains(err.Error(), "leave --cuda out") {
		t.Errorf("a program that ends: %v", err)
	}
}

func TestWhoOffersAGPUIsTold(t *testing.T) {
	var terminal, log bytes.Buffer
	warnOfGPU(t.Context(), slog.New(slog.NewJSONHandler(&log, nil)), &terminal)
	for _, said := range []string{terminal.String(), log.String()} {
		if !strings.Contains(said, "outside of what evidence speaks of") || !strings.Contains(said, "Permissions(gpu=True)") {
			t.Errorf("%s", said)
		}
	}
}
