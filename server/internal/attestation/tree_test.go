package attestation

import (
	"testing"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
)

func leavesOf(n int) [][32]byte {
	leaves := make([][32]byte, n)
	for i := range leaves {
		leaves[i] = Leaf(bastionlabv1.Binding_BINDING_KEY, [32]byte{byte(i), byte(i >> 8)}, [32]byte{})
	}
	return leaves
}

func TestEveryCallersPathLeadsToTheHead(t *testing.T) {
	for _, n := range []int{1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 64, 100, MaxTreeSize} {
		leaves := leavesOf(n)
		paths, want := auditPaths(leaves)
		for i, leaf := range leaves {
			got, err := RootOf(leaf, uint32(i), uint32(n), paths[i])
			if err != nil || got != want {
				t.Fatalf("leaf %d of %d: %x, %v; want %x", i, n, got, err, want)
			}
		}
	}
}

func TestAPathThatIsNotTheLeafsLeadsElsewhere(t *testing.T) {
	leaves := leavesOf(11)
	paths, want := auditPaths(leaves)
	path := paths[3]
	tests := map[string]struct {
		leaf        [32]byte
		index, size uint32
		path        [][]byte
	}{
		"another leaf":     {leaves[4], 3, 11, path},
		"another place":    {leaves[3], 2, 11, path},
		"beyond the tree":  {leaves[3], 11, 11, path},
		"an empty tree":    {leaves[3], 0, 0, nil},
		"too large a tree": {leaves[3], 3, MaxTreeSize + 1, path},
		"a shorter path":   {leaves[3], 3, 11, path[1:]},
		"a longer path":    {leaves[3], 3, 11, append(path[:len(path):len(path)], path[0])},
		"a short sibling":  {leaves[3], 3, 11, append([][]byte{path[0][:31]}, path[1:]...)},
		"a head as a leaf": {want, 0, 1, [][]byte{path[0]}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got, err := RootOf(test.leaf, test.index, test.size, test.path); err == nil && got == want {
				t.Error("was taken for the leaf's path")
			}
		})
	}
}

// Two statements must not have the same report data because their parts run together.
func TestReportDataCommitsToEveryPart(t *testing.T) {
	base := ReportData([]byte("key"), []byte("claims"), [32]byte{1})
	for name, other := range map[string][64]byte{
		"key":      ReportData([]byte("ke"), []byte("claims"), [32]byte{1}),
		"boundary": ReportData([]byte("keyc"), []byte("laims"), [32]byte{1}),
		"claims":   ReportData([]byte("key"), []byte("claimz"), [32]byte{1}),
		"root":     ReportData([]byte("key"), []byte("claims"), [32]byte{2}),
	} {
		if other == base {
			t.Errorf("another %s has the same report data", name)
		}
	}
	nonce, exporter := [32]byte{1}, [32]byte{2}
	leaf := Leaf(bastionlabv1.Binding_BINDING_EXPORTER, nonce, exporter)
	if leaf == Leaf(bastionlabv1.Binding_BINDING_KEY, nonce, exporter) || leaf == Leaf(bastionlabv1.Binding_BINDING_EXPORTER, exporter, nonce) {
		t.Error("another binding, or nonce and exporter exchanged, have the same leaf")
	}
}
