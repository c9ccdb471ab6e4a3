package main

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

const someHash = "47c59f6da5cdf41badb06ae509dd3020b2fecebbd7a0a8ff627d037a147ae554"

func TestTheRootOfACommandLine(t *testing.T) {
	root, err := parseRoot("console=ttyS0 bastionlab.root=31751:" + someHash + " initrd=initrd\n")
	if err != nil || root != (rootSpec{31751, someHash}) {
		t.Fatalf("%+v, %v", root, err)
	}
	want := "1 /dev/vda /dev/vda 4096 4096 31751 31751 sha256 " + someHash + " - 1 panic_on_corruption"
	if got := root.table(); got != want {
		t.Errorf("%s\nand not\n%s", got, want)
	}
	encoded := target(root)
	if sectors := binary.LittleEndian.Uint64(encoded[8:]); sectors != 31751*8 {
		t.Errorf("%d sectors", sectors)
	}
	if !bytes.HasPrefix(encoded[24:], []byte("verity\x00")) || !bytes.HasSuffix(encoded, []byte(want+"\x00")) {
		t.Errorf("%q", encoded)
	}
}

// A command line that does not say exactly one root is none: there is no default, and no second word wins.
func TestCommandLinesWithoutARoot(t *testing.T) {
	for name, line := range map[string]string{
		"none":             "console=ttyS0",
		"two":              "bastionlab.root=1:" + someHash + " bastionlab.root=1:" + someHash,
		"no blocks":        "bastionlab.root=" + someHash,
		"zero blocks":      "bastionlab.root=0:" + someHash,
		"too many":         "bastionlab.root=268435457:" + someHash,
		"a short hash":     "bastionlab.root=1:" + someHash[1:],
		"a long hash":      "bastionlab.root=1:" + someHash + "0",
		"large letters":    "bastionlab.root=1:" + strings.ToUpper(someHash),
		"an option behind": "bastionlab.root=1:" + someHash + ":ignore_corruption",
		"another word":     "xbastionlab.root=1:" + someHash,
	} {
		t.Run(name, func(t *testing.T) {
			if root, err := parseRoot(line); err == nil {
				t.Errorf("%+v came of it", root)
			}
		})
	}
}

// Each message to the device mapper is as long as it says, asks for a device that nobody writes to, and has what belongs to it behind its header.
func TestMessagesToTheDeviceMapper(t *testing.T) {
	c := newMapperCall([]byte("behind it"))
	h := c.header()
	if h.Flags != 1 || int(h.Data_size) != len(c.memory)*8 || h.Data_start != 312 || h.Version[0] != 4 {
		t.Errorf("%+v", h)
	}
	if c.memory[39] != binary.LittleEndian.Uint64([]byte("behind i")) || c.memory[40] != 't' {
		t.Errorf("%x", c.memory[39:])
	}
}
