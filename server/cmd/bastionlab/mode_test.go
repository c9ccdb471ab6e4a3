package main

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

type fakeFacts map[string]string

func (f fakeFacts) Fact(_ context.Context, name string) ([]byte, bool, error) {
	value, known := f[name]
	return []byte(value), known, nil
}

func (f fakeFacts) SetFact(_ context.Context, name string, value []byte) error {
	f[name] = string(value)
	return nil
}

func TestModeIsChosenOnceForADirectory(t *testing.T) {
	for name, test := range map[string]struct {
		kept         fakeFacts
		allowed, tee bool
		refused      string
	}{
		"new, ordinary machine":        {kept: fakeFacts{}},
		"new, TEE":                     {kept: fakeFacts{}, tee: true, refused: "TEE"},
		"new, TEE, allowed":            {kept: fakeFacts{}, tee: true, allowed: true},
		"known, moved to a TEE":        {kept: fakeFacts{modeFact: modeDevelopment}, tee: true},
		"of a later release":           {kept: fakeFacts{modeFact: "registered"}, refused: "registered identities"},
		"of a later release, insisted": {kept: fakeFacts{modeFact: "registered"}, allowed: true, refused: "registered identities"},
	} {
		t.Run(name, func(t *testing.T) {
			development, err := chooseMode(t.Context(), test.kept, test.allowed, func(string) bool { return test.tee })
			if test.refused != "" {
				if refusal.KindOf(err) != refusal.Unavailable || !strings.Contains(err.Error(), test.refused) {
					t.Errorf("it is served: %t, %v", development, err)
				}
				return
			}
			if err != nil || !development || test.kept[modeFact] != modeDevelopment {
				t.Errorf("development %t, kept %v, %v", development, test.kept, err)
			}
		})
	}
}

func TestAnIncompleteSandboxIsAWarningInDevelopmentOnly(t *testing.T) {
	var text strings.Builder
	log := slog.New(slog.NewJSONHandler(&text, nil))
	if err := checkSandbox(t.Context(), log, nil, false); err != nil || text.Len() != 0 {
		t.Errorf("a whole one: %v, %s", err, text.String())
	}
	if err := checkSandbox(t.Context(), log, []string{"landlock"}, true); err != nil || !strings.Contains(text.String(), "landlock") {
		t.Errorf("in development: %v, %s", err, text.String())
	}
	if err := checkSandbox(t.Context(), log, []string{"landlock"}, false); refusal.KindOf(err) != refusal.Unavailable || !strings.Contains(err.Error(), "landlock") {
		t.Errorf("otherwise: %v", err)
	}
}

func TestTheBannerIsForPeople(t *testing.T) {
	if terminalOf(io.Discard) != nil {
		t.Error("what is no terminal gets the banner")
	}
	var terminal strings.Builder
	warn(t.Context(), slog.New(slog.DiscardHandler), &terminal, true)
	if !strings.Contains(terminal.String(), "DEVELOPMENT MODE") || !strings.Contains(terminal.String(), "BEYOND THIS MACHINE") {
		t.Errorf("the banner is %q", terminal.String())
	}
}
