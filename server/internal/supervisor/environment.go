package supervisor

import "strconv"

// environment is all that a trainer inherits. SECURITY: no PATH, no HOME, and nothing of the server's own, where secrets may lie.
func environment(threads int, device string) []string {
	variables := []string{
		// libtorch sets its own number of threads when it starts; this is for what asks OpenMP before.
		"OMP_NUM_THREADS=" + strconv.Itoa(threads),
		// OpenMP's threads wait by spinning, which on a busy machine makes a small model a hundred times slower: let them sleep.
		"OMP_WAIT_POLICY=passive",
		// Go does little in a trainer; without this its runtime would look for the host's processors again and again.
		"GOMAXPROCS=2",
	}
	if device == CUDA {
		variables = append(variables, cudaEnvironment...)
	}
	return append(variables, replayEnvironment()...)
}

// cudaEnvironment is read by the driver and the libraries above it, and by no trainer that computes on the CPU.
var cudaEnvironment = []string{
	// A run has one GPU. The others get no context, and nothing of the run.
	"CUDA_VISIBLE_DEVICES=0",
	// The first by its place in the machine: CUDA's own order begins with the fastest.
	"CUDA_DEVICE_ORDER=PCI_BUS_ID",
	// Every kernel is on the GPU when the sandbox closes. Loaded when first called, a kernel would have the driver allocate in the midst of a run.
	"CUDA_MODULE_LOADING=EAGER",
	// Kernels that are compiled for this GPU at the start are kept nowhere: there is no directory to write to.
	"CUDA_CACHE_DISABLE=1",
	// cuBLAS gives the same sums for the same numbers only where its workspace has a fixed size; libtorch refuses it otherwise.
	"CUBLAS_WORKSPACE_CONFIG=:4096:8",
	// PRIVACY: no products of 10 bits where a bound was computed for 24, whatever a library would choose.
	"NVIDIA_TF32_OVERRIDE=0",
	// SECURITY: no daemon of the host between the run and the GPU (MPS): what uses it at the same time would share the run's faults.
	"CUDA_MPS_PIPE_DIRECTORY=/nonexistent",
}
