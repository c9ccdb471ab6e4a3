package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
)

// supportedABI is the version of the engine's interface that this server was written for.
const supportedABI = 4

// baseline is what the first trainer was found to have. No later one may have less: a sandbox that was accepted when the server
// started must not fall away behind its back.
type baseline struct {
	isolation isolation
	active    []string // names of layers; nil until the first Hello
}

// hello waits for the trainer's first frame and looks at its sandbox, from inside and from outside.
func (l *Launcher) hello(ctx context.Context, p *process, device string) (*trainerv1.Hello, error) {
	frame, err := p.receive(ctx, l.config.StallWindow)
	if err != nil {
		return nil, err
	}
	hello := frame.GetHello()
	if hello == nil {
		return nil, fmt.Errorf("%w: the first frame is no hello", errRubbish)
	}
	if hello.GetAbi() != supportedABI {
		return nil, fmt.Errorf("the trainer's engine has interface %d, this server needs %d: install the two from one release", hello.GetAbi(), supportedABI)
	}
	// PRIVACY: what runs where the owner permitted it, runs there.
	if hello.GetDevice() != device {
		return nil, fmt.Errorf("the trainer computes on %q, and was started to compute on %s: install the programs of one release", plain(hello.GetDevice()), device)
	}
	hello.Layers = append(withoutLayer(hello.GetLayers(), Namespaces), namespacesOf(p.pid))
	for _, layer := range hello.GetLayers() {
		if seen := seenFromOutside(layer.GetName(), p.pid); layer.GetActive() && seen != nil {
			layer.Active, layer.Detail = false, "reported, but "+seen.Error()
		}
	}
	return hello, l.compare(hello, device)
}

func withoutLayer(layers []*trainerv1.SandboxLayer, name string) []*trainerv1.SandboxLayer {
	return slices.DeleteFunc(layers, func(layer *trainerv1.SandboxLayer) bool { return layer.GetName() == name })
}

// compare keeps the layers of a device's first trainer and refuses a later one that has fewer.
func (l *Launcher) compare(hello *trainerv1.Hello, device string) error {
	var active []string
	for _, layer := range hello.GetLayers() {
		if layer.GetActive() {
			active = append(active, layer.GetName())
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.baselines[device]
	if first.active == nil {
		first.active = append([]string{}, active...)
		return nil
	}
	for _, name := range first.active {
		if !slices.Contains(active, name) {
			return fmt.Errorf("the sandbox has lost its layer %s since the server started", name)
		}
	}
	return nil
}

// outsideSigns are the fields of /proc/PID/task/TID/status that show a layer. Landlock shows nowhere.
var outsideSigns = map[string]struct{ field, want string }{
	"no-new-privs": {"NoNewPrivs", "1"},
	"capabilities": {"CapPrm", "0000000000000000"},
	"seccomp":      {"Seccomp", "2"},
}

// seenFromOutside looks for a layer's sign on every thread. SECURITY: a trainer's word about itself is not enough where the kernel
// tells it too.
func seenFromOutside(layer string, pid int) error {
	sign, ok := outsideSigns[layer]
	if !ok {
		return nil
	}
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return errors.New("its threads cannot be seen")
	}
	for _, thread := range threads {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/status", pid, thread.Name()))
		if err != nil {
			continue // ended
		}
		if got := statusField(string(status), sign.field); got != sign.want {
			return fmt.Errorf("one of %d threads has %s %s", len(threads), sign.field, got)
		}
	}
	return nil
}

func statusField(status, field string) string {
	for line := range strings.Lines(status) {
		if name, value, ok := strings.Cut(line, ":"); ok && name == field {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
