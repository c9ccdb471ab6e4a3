package supervisor

import "strconv"

// environment is all that a trainer inherits. SECURITY: no PATH, no HOME, and nothing of the server's own, where secrets may lie.
func environment(threads int) []string {
	variables := []string{
		// libtorch sets its own number of threads when it starts; this is for what asks OpenMP before.
		"OMP_NUM_THREADS=" + strconv.Itoa(threads),
		// OpenMP's threads wait by spinning, which on a busy machine makes a small model a hundred times slower: let them sleep.
		"OMP_WAIT_POLICY=passive",
		// Go does little in a trainer; without this its runtime would look for the host's processors again and again.
		"GOMAXPROCS=2",
	}
	return append(variables, replayEnvironment()...)
}
