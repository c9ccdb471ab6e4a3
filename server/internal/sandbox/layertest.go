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
