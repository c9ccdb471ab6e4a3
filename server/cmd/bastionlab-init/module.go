package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// loadModules loads the drivers that a folder has, in the order of its file `order`, which has each after those that it needs.
func loadModules(folder string) error {
	order, err := os.ReadFile(filepath.Join(folder, "order"))
	if err != nil {
		return fmt.Errorf("read the order of the drivers: %w", err)
	}
	for _, name := range strings.Fields(string(order)) {
		file, err := os.Open(filepath.Join(folder, name+".ko"))
		if err != nil {
			return fmt.Errorf("open a driver: %w", err)
		}
		err = unix.FinitModule(int(file.Fd()), "", 0)
		file.Close()
		// A machine without the device has no use for its driver; that without a TEE is how an image is tried. What is needed is missed further on.
		if err != nil && !errors.Is(err, unix.ENODEV) {
			return fmt.Errorf("load the driver %s: %w", name, err)
		}
	}
	return nil
}
