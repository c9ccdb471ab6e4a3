//go:build sandboxtest

package sandbox

import (
	"os"
	"strings"
)

// leftOut reads which layers a test wants left out, to see that the others hold by themselves.
func leftOut(layer string) bool {
	return strings.Contains(os.Getenv("BASTIONLAB_SANDBOX_WITHOUT"), layer)
}

// standsForGPU reads which device file a test takes for a GPU's.
func standsForGPU(path string) bool {
	name, ok := os.LookupEnv("BASTIONLAB_SANDBOX_GPU")
	return ok && path == "/dev/"+name
}
