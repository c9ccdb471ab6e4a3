//go:build replay

package trainer

import "os"

// A build for tests can take chance out of training, to compare it with an oracle. No release build has this file.
const replayVariable = "BASTIONLAB_REPLAY_NOISE"

func replaysWithoutNoise() bool { return os.Getenv(replayVariable) == "0" }

// vanishing is what the engine still accepts as noise and no parameter notices.
const vanishing = 1e-30

func noiseStddev(multiplier, sensitivity float64) float64 {
	if replaysWithoutNoise() {
		return vanishing
	}
	return multiplier * sensitivity
}

func includesAll(asked bool) bool { return asked || replaysWithoutNoise() }
