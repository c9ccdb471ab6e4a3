//go:build linux && cgo && cuda

package confined

// #cgo CFLAGS: -DBL_CUDA
import "C"
