package trainer_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/bastionlab/bastionlab/server/"

// importers lists what depends on a package, by way of others too.
func importers(t *testing.T, of string) []string {
	t.Helper()
	list := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Deps " "}}`, "../../...")
	list.Env = append(os.Environ(), "CGO_ENABLED=1") // without cgo the importers we look for do not exist
	output, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var found []string
	for line := range strings.Lines(string(output)) {
		fields := strings.Fields(line)
		for _, dependency := range fields[1:] {
			if dependency == module+of {
				found = append(found, strings.TrimPrefix(fields[0], module))
			}
		}
	}
	return found
}

// The server must neither link libtorch nor be closed by the trainer's constructor: one import would do either.
func TestOnlyTheTrainerReachesEngineAndConstructor(t *testing.T) {
	for _, name := range []string{"internal/trainer/engine", "internal/sandbox/confined"} {
		if found := importers(t, name); len(found) != 1 || found[0] != "cmd/bastionlab-trainer" {
			t.Errorf("%s is reached by %v", name, found)
		}
	}
}
