package program

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// ArchiveLimits bound what an archive may claim.
type ArchiveLimits struct {
	ArchiveBytes   int64 // the file
	Entries        int64
	DirectoryBytes int64 // the zip's central directory
	InflatedBytes  int64 // all compressed entries together, unpacked
	Ratio          int64 // of one compressed entry beyond its first megabyte
	NameBytes      int
}

// DefaultArchiveLimits are generous for models: weights are stored uncompressed, only code and its tables are compressed.
func DefaultArchiveLimits() ArchiveLimits {
	return ArchiveLimits{
		ArchiveBytes:   4 << 30,
		Entries:        20_000,
		DirectoryBytes: 8 << 20,
		InflatedBytes:  256 << 20,
		Ratio:          200,
		NameBytes:      512,
	}
}

// Archive is what the outside of a TorchScript archive says.
type Archive struct {
	Root          string // the folder that everything lies in
	Entries       int
	InflatedBytes int64 // all entries, unpacked
}

const freeOfRatio = 1 << 20

// CheckArchive refuses what is not the outside of an archive as torch.jit.save writes it. Nothing is inflated. The zip must have exactly
// one reading: entries lie one after the other from the first byte to the directory, and the directory says what the entries' own headers say.
func CheckArchive(file io.ReaderAt, size int64, limits ArchiveLimits) (Archive, error) {
	if size > limits.ArchiveBytes {
		return Archive{}, refused("it has %d bytes, at most %d are taken", size, limits.ArchiveBytes)
	}
	end, err := readEnd(file, size)
	if err != nil {
		return Archive{}, err
	}
	if end.entries > limits.Entries {
		return Archive{}, refused("it has %d entries, at most %d are taken", end.entries, limits.Entries)
	}
	if end.directoryBytes > limits.DirectoryBytes {
		return Archive{}, refused("its directory has %d bytes, at most %d are taken", end.directoryBytes, limits.DirectoryBytes)
	}
	entries, err := readDirectory(file, end)
	if err != nil {
		return Archive{}, err
	}
	archive, err := checkEntries(entries, limits)
	if err != nil {
		return Archive{}, err
	}
	if err := checkPlaces(file, entries, end.directoryOffset); err != nil {
		return Archive{}, err
	}
	return archive, nil
}

func checkEntries(entries []zipEntry, limits ArchiveLimits) (Archive, error) {
	archive := Archive{Entries: len(entries)}
	seen := make(map[string]bool, len(entries))
	var compressed int64
	for i, e := range entries {
		root, err := checkName(i, e.name, limits.NameBytes)
		if err != nil {
			return Archive{}, err
		}
		if i > 0 && root != archive.Root {
			return Archive{}, refused("its entries lie in more than one folder")
		}
		archive.Root = root
		// SECURITY: the reader in libtorch looks names up without regard to case: two names that differ in it are one there.
		folded := strings.ToLower(e.name)
		if seen[folded] {
			return Archive{}, refused("two of its entries have the same name")
		}
		seen[folded] = true
		if err := checkSizes(i, e, limits); err != nil {
			return Archive{}, err
		}
		archive.InflatedBytes += e.size
		if e.method == methodDeflate {
			if compressed += e.size; compressed > limits.InflatedBytes {
				return Archive{}, refused("its compressed entries unpack to more than %d bytes", limits.InflatedBytes)
			}
		}
	}
	return archive, checkMembers(archive.Root, seen)
}

func checkSizes(i int, e zipEntry, limits ArchiveLimits) error {
	if e.compressed > limits.ArchiveBytes {
		return refused("entry %d is larger than the file", i)
	}
	switch e.method {
	case methodStore:
		if e.compressed != e.size {
			return refused("entry %d is stored, but its two sizes differ", i)
		}
	case methodDeflate:
		if e.size-freeOfRatio > limits.Ratio*e.compressed {
			return refused("entry %d unpacks to more than %d times its size", i, limits.Ratio)
		}
	}
	return nil
}

// checkMembers asks for what every TorchScript archive has. Names are folded.
func checkMembers(root string, names map[string]bool) error {
	folded := strings.ToLower(root)
	for _, member := range []string{"data.pkl", "constants.pkl", "version"} {
		// From file format 10 on, which operators such as gelu ask for, libtorch writes the version below .data.
		if names[folded+"/"+member] || member == "version" && names[folded+"/.data/version"] {
			continue
		}
		if member == "constants.pkl" {
			return refused("it has weights but no code, as torch.save writes it")
		}
		return refused("it is a zip, but has no %s", member)
	}
	return nil
}

// checkName allows relative names in plain segments and returns the first segment.
func checkName(i int, name string, limit int) (string, error) {
	switch {
	case len(name) == 0 || len(name) > limit:
		return "", refused("entry %d has a name of %d bytes, 1 to %d are taken", i, len(name), limit)
	case !printableName(name):
		return "", refused("the name of entry %d has characters that names do not have", i)
	}
	segments := strings.Split(name, "/")
	for _, segment := range segments {
		if segment == "" || segment == "." || segment == ".." {
			return "", refused("the name of entry %d is absolute, a folder's, or leads out of the archive", i)
		}
	}
	if len(segments) < 2 {
		return "", refused("entry %d does not lie in the archive's folder", i)
	}
	return segments[0], nil
}

// checkPlaces compares the entries' own headers with the directory, and sees that entries tile the file up to the directory.
func checkPlaces(file io.ReaderAt, entries []zipEntry, directory int64) error {
	inOrder := slices.Clone(entries)
	slices.SortFunc(inOrder, func(a, b zipEntry) int { return cmp.Compare(a.offset, b.offset) })
	var at int64
	for i, e := range inOrder {
		// After an entry may come its descriptor, and nothing else: no room for what the directory does not name.
		slack := int64(0)
		if i > 0 && inOrder[i-1].flags&flagDescriptor != 0 {
			slack = maxDescriptorBytes
		}
		if e.offset < at || e.offset > at+slack {
			return refused("its entries overlap, or something lies between them")
		}
		end, err := readLocal(file, e, directory)
		if err != nil {
			return err
		}
		at = end
	}
	slack := int64(0)
	if len(inOrder) > 0 && inOrder[len(inOrder)-1].flags&flagDescriptor != 0 {
		slack = maxDescriptorBytes
	}
	if at > directory || at+slack < directory {
		return refused("its entries do not reach to its directory")
	}
	return nil
}

func refused(format string, args ...any) error {
	return refusal.New(refusal.InvalidArgument, "send what torch.jit.save wrote, or let the client do it",
		"the model is no TorchScript archive that can be read safely: %s", fmt.Sprintf(format, args...))
}
