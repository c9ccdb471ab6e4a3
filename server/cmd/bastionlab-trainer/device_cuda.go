//go:build linux && cgo && cuda

package main

// device is what this program computes on.
const device = "cuda"
