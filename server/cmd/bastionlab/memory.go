package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// byteSize is a number of bytes that reads 8GiB, 512MiB or 1048576.
type byteSize int64

var byteUnits = []struct {
	suffix string
	bytes  int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

func (b *byteSize) Type() string { return "size" }

func (b *byteSize) String() string {
	if *b == 0 {
		return ""
	}
	for _, unit := range byteUnits {
		if int64(*b)%unit.bytes == 0 {
			return fmt.Sprintf("%d%s", int64(*b)/unit.bytes, unit.suffix)
		}
	}
	return strconv.FormatInt(int64(*b), 10)
}

func (b *byteSize) Set(text string) error {
	digits, factor := text, int64(1)
	for _, unit := range byteUnits {
		if trimmed, ok := strings.CutSuffix(text, unit.suffix); ok {
			digits, factor = strings.TrimSpace(trimmed), unit.bytes
		}
	}
	number, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || number < 1 || number > (1<<62)/factor {
		return fmt.Errorf("%q is no size such as 8GiB or 512MiB", text)
	}
	*b = byteSize(number * factor)
	return nil
}

// cgroupMemory is where a container's limit stands.
const cgroupMemory = "/sys/fs/cgroup/memory.max"

// defaultMemoryLimit is three quarters of what the machine, or the container, has.
func defaultMemoryLimit() (byteSize, error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0, fmt.Errorf("ask for the machine's memory: %w", err)
	}
	memory := int64(info.Totalram) * int64(info.Unit)
	if text, err := os.ReadFile(cgroupMemory); err == nil {
		if limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && limit > 0 {
			memory = min(memory, limit)
		}
	}
	return byteSize(memory / 4 * 3), nil
}
