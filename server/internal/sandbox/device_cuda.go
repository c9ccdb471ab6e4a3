//go:build cuda

package sandbox

const maxDescriptors = maxCUDADescriptors

// gpus are the descriptors of a GPU's device files.
func gpus() ([]int, error) { return descriptorsOf(isGPU) }
