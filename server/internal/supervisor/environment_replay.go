//go:build replay

package supervisor

import "os"

// replayEnvironment passes on what a trainer built for tests looks at. No release build has this file.
func replayEnvironment() []string {
	const variable = "BASTIONLAB_REPLAY_NOISE"
	if value, ok := os.LookupEnv(variable); ok {
		return []string{variable + "=" + value}
	}
	return nil
}
