package main

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
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
		kept                      fakeFacts
		allowed, tee, development bool
		refused                   string
	}{
		"new, ordinary machine":    {kept: fakeFacts{}, development: true},
		"new, TEE":                 {kept: fakeFacts{}, tee: true},
		"new, TEE, allowed":        {kept: fakeFacts{}, tee: true, allowed: true, development: true},
		"known, moved to a TEE":    {kept: fakeFacts{storage.ModeFact: storage.ModeDevelopment}, tee: true, development: true},
		"closed":                   {kept: fakeFacts{storage.ModeFact: storage.ModeRegistered}},
		"closed, insisted":         {kept: fakeFacts{storage.ModeFact: storage.ModeRegistered}, allowed: true},
		"of a later release":       {kept: fakeFacts{storage.ModeFact: "lunar"}, refused: "does not know"},
		"of a later one, insisted": {kept: fakeFacts{storage.ModeFact: "lunar"}, allowed: true, refused: "does not know"},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 { // the second time it is a known one
				development, err := chooseMode(t.Context(), test.kept, test.allowed, func(string) bool { return test.tee })
				if test.refused != "" {
					if refusal.KindOf(err) != refusal.Unavailable || !strings.Contains(err.Error(), test.refused) {
						t.Errorf("it is served: %t, %v", development, err)
					}
					return
				}
				if err != nil || development != test.development || (test.kept[storage.ModeFact] == storage.ModeDevelopment) != development {
					t.Errorf("development %t, kept %v, %v", development, test.kept, err)
				}
				test.allowed = test.allowed && test.development // what was said once need not be said again
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

func TestTheDoctorSaysWhatATEEIsFor(t *testing.T) {
	for device, want := range map[string]string{"/dev/sev-guest": "signs this server's evidence", "/dev/tdx_guest": "signs this server's evidence", "": "simulated"} {
		found := tee(func(path string) bool { return path == device })
		if !found.OK || !strings.Contains(found.Detail, want) || !strings.HasPrefix(found.Detail, device) {
			t.Errorf("%q: %+v", device, found)
		}
	}
}
