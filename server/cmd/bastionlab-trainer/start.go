//go:build linux && cgo && !standin

package main

import (
	"github.com/bastionlab/bastionlab/server/internal/trainer"
	"github.com/bastionlab/bastionlab/server/internal/trainer/engine"
)

// start brings libtorch up on this program's device.
func start(threads int) (trainer.Engine, error) { return engine.Start(threads, device) }
