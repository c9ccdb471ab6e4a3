//go:build !replay

package supervisor

func replayEnvironment() []string { return nil }
