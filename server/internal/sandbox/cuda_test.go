//go:build linux

package sandbox

import (
	"slices"
	"testing"
)

// deviceFiles is what the prober tells of device files.
type deviceFiles struct {
	Opened, OtherOpened, Control, OtherControl, Library, Secret, Written, Again string

	Name int
}

const (
	unopened   = "permission denied"       // EACCES, of Landlock
	forbidden  = "operation not permitted" // EPERM, of seccomp
	noTerminal = "inappropriate ioctl for device"
	notHeld    = "bad file descriptor"
)

// A driver can start and then be talked to, and nothing else is let through for it. The other row is the trainer of every other run: the
// same test takes a device for a GPU's, and nothing comes of it. With a layer left out the other one still denies what it did.
func TestOnlyTheTrainerForGPUsHoldsAGPU(t *testing.T) {
	if version := landlockVersion(); version < 6 {
		t.Skipf("the kernel's Landlock has version %d: it denies less than the table says", version)
	}
	cpu, cuda := buildProber(t, "sandboxtest"), buildProber(t, "sandboxtest,cuda")
	for _, test := range []struct {
		name, path, without string
		want                deviceFiles
	}{
		{"without a GPU", cpu, "", deviceFiles{unopened, unopened, forbidden, forbidden, unopened, unopened, unopened, forbidden, 34}},
		{"without a GPU, without Landlock", cpu, "landlock", deviceFiles{"ok", "ok", forbidden, forbidden, "ok", "ok", "ok", forbidden, 34}},
		{"with a GPU", cuda, "", deviceFiles{"ok", unopened, noTerminal, forbidden, "ok", unopened, unopened, forbidden, 0}},
		{"with a GPU, without Landlock", cuda, "landlock", deviceFiles{"ok", "ok", noTerminal, forbidden, "ok", "ok", "ok", forbidden, 0}},
		{"with a GPU, without seccomp", cuda, "seccomp", deviceFiles{"ok", unopened, noTerminal, notHeld, "ok", unopened, unopened, "ok", 0}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := runProber(t, test.path, test.without, "BASTIONLAB_SANDBOX_GPU=zero").Works.GPU; got != test.want {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
}

// The layers of the trainer for GPUs deny every attempt to break out, as those of the other do, and it can work inside.
func TestTheTrainerForGPUsIsConfined(t *testing.T) {
	got := runProber(t, buildProber(t, "cuda"), "")
	if denied := got.denied(); !slices.Equal(denied, everyCall()) {
		t.Errorf("denied: %v\n%+v", denied, got.Attempts)
	}
	if got.Works.LateThread != 0 || got.Works.Compiled != 42 || !got.Works.Random || got.Works.Hoards || got.Works.Dumpable != 0 {
		t.Errorf("%+v", got.Works)
	}
	if opened := got.Works.GPU.Opened; landlockVersion() > 0 && opened != unopened {
		t.Errorf("a release build takes /dev/zero for a GPU: %s", opened)
	}
}
