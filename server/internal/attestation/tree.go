package attestation

import (
	"crypto/sha256"
	"errors"
)

// MaxTreeSize is how many callers one report may serve.
const MaxTreeSize = 1024

const (
	leafPrefix = 0x00
	nodePrefix = 0x01
)

func node(left, right [32]byte) [32]byte {
	var joined [65]byte
	joined[0] = nodePrefix
	copy(joined[1:], left[:])
	copy(joined[33:], right[:])
	return sha256.Sum256(joined[:])
}

// auditPaths are the paths of all leaves (RFC 9162, section 2.1.3.1), and the tree head. Each node is hashed once: strangers say how many leaves
// there are.
func auditPaths(leaves [][32]byte) (paths [][][]byte, head [32]byte) {
	if len(leaves) == 1 {
		return make([][][]byte, 1), leaves[0]
	}
	k := split(len(leaves))
	before, left := auditPaths(leaves[:k])
	after, right := auditPaths(leaves[k:])
	for i := range before {
		before[i] = append(before[i], right[:])
	}
	for i := range after {
		after[i] = append(after[i], left[:])
	}
	return append(before, after...), node(left, right)
}

// split is the largest power of two below n.
func split(n int) int {
	k := 1
	for 2*k < n {
		k *= 2
	}
	return k
}

var errPath = errors.New("the audit path does not belong to a tree of that size")

// RootOf is the tree head that a leaf and its audit path make (RFC 9162, section 2.1.3.2).
func RootOf(leaf [32]byte, index, size uint32, path [][]byte) ([32]byte, error) {
	if index >= size || size > MaxTreeSize {
		return [32]byte{}, errPath
	}
	at, last, root := index, size-1, leaf
	for _, sibling := range path {
		if last == 0 || len(sibling) != sha256.Size {
			return [32]byte{}, errPath
		}
		if at&1 == 1 || at == last {
			root = node([32]byte(sibling), root)
			for at&1 == 0 && at != 0 {
				at, last = at>>1, last>>1
			}
		} else {
			root = node(root, [32]byte(sibling))
		}
		at, last = at>>1, last>>1
	}
	if last != 0 {
		return [32]byte{}, errPath
	}
	return root, nil
}
