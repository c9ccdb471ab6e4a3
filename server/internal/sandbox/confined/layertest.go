//go:build linux && cgo && sandboxtest

package confined

// #cgo CFLAGS: -DBL_SANDBOX_TEST
import "C"
