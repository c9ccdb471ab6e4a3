//go:build !cuda

package sandbox

// maxDescriptors agrees with confine.c.
const maxDescriptors = 64

// gpus are the descriptors of a GPU's device files. This trainer computes on the CPU.
func gpus() ([]int, error) { return nil, nil }
