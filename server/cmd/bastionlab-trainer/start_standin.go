//go:build linux && cgo && cuda && standin

package main

// void standin_deadly(int on);
import "C"

import (
	"github.com/bastionlab/bastionlab/server/internal/trainer"
	"github.com/bastionlab/bastionlab/server/internal/trainer/engine"
)

// standIn computes on the stand-in device of the engine's tests and calls it a GPU. Only for tests of the whole on machines that have none: no
// release build has this, nor an engine that knows such a device.
type standIn struct{ *engine.Engine }

func (standIn) Device() string { return device }

func start(threads int) (trainer.Engine, error) {
	libtorch, err := engine.Start(threads, "privateuseone")
	if err != nil {
		return nil, err
	}
	C.standin_deadly(1) // a kernel that fails ends the process from now on, as on a GPU it would
	return standIn{libtorch}, nil
}
