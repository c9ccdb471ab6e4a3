//go:build !race

package ledger

const raceDetected = false
