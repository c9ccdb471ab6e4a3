package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	seccomp "github.com/elastic/go-seccomp-bpf"
)

// A trainer that computes on a GPU talks to the driver: by ioctl on device files that it holds, and in memory that it shares with them, which
// the rule for mmap leaves it anyway. What else the driver's threads call is little: they wait for its events, and ask where memory lies.
//
// An ioctl reaches the driver in the kernel, which is large and was not written to withstand a stranger's program. Neither its numbers nor
// what they point to are judged here: they change from one release of the driver to the next, and most is behind one number, in memory
// where a filter cannot look (gVisor's nvproxy, which does judge them, has a list for each release).
var cudaCalls = []string{"get_mempolicy", "ppoll"}

// maxCUDADescriptors agrees with confine.c. Were all of them a GPU's, the filter would still be one that the kernel takes.
const maxCUDADescriptors = 960

// SECURITY: no ioctl on anything else: not on the seam, not on a file of records. A number that is given up and taken by such a file keeps it,
// but no file that comes over the seam knows an ioctl that reaches outside.
func cudaConditions(gpus []int) []seccomp.NameWithConditions {
	var conditions []seccomp.NameWithConditions
	for _, descriptor := range gpus {
		conditions = append(conditions, seccomp.NameWithConditions{Name: "ioctl", Conditions: []seccomp.Condition{equals(0, uint64(descriptor))}})
	}
	return conditions
}

// gpuFiles are the device files of which a GPU's driver may hold descriptors that it may control. landlock_cuda.c lets them be opened.
var gpuFiles = regexp.MustCompile(`^/dev/(nvidiactl|nvidia-uvm|nvidia[0-9]+)$`)

func isGPU(path string) bool { return gpuFiles.MatchString(path) || standsForGPU(path) }

// descriptorsOf are the descriptors that this process holds of files whose paths are chosen.
func descriptorsOf(chosen func(path string) bool) ([]int, error) {
	const directory = "/proc/self/fd"
	entries, err := os.ReadDir(directory)
	if err != nil {
		return nil, fmt.Errorf("look for the GPU's descriptors: %w", err)
	}
	var found []int
	for _, entry := range entries {
		path, err := os.Readlink(filepath.Join(directory, entry.Name()))
		if err != nil || !chosen(path) {
			continue // gone, as the directory's own is
		}
		descriptor, err := strconv.Atoi(entry.Name())
		if err != nil {
			return nil, fmt.Errorf("look for the GPU's descriptors: %w", err)
		}
		found = append(found, descriptor)
	}
	return found, nil
}
