//go:build cuda

package sandbox

// maxDescriptors agrees with confine.c.
const maxDescriptors = 1024

// gpus are the descriptors of a GPU's device files.
func gpus() ([]int, error) { return descriptorsOf(isGPU) }
