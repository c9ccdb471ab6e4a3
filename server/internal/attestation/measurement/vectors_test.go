package measurement

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"testing"
)

// described is a file that a vector describes: see tools/vectors/measurement.py.
type described struct {
	Bytes int    `json:"bytes"`
	Seed  string `json:"seed"`
	End   string `json:"end"`
}

func (d described) contents(t testing.TB) []byte {
	t.Helper()
	end, err := hex.DecodeString(d.End)
	if err != nil {
		t.Fatal(err)
	}
	var data []byte
	for counter := uint64(0); len(data) < d.Bytes; counter++ {
		block := sha256.Sum256(binary.LittleEndian.AppendUint64([]byte(d.Seed), counter))
		data = append(data, block[:]...)
	}
	return append(data[:d.Bytes-len(end)], end...)
}

type vector struct {
	Firmware    described `json:"firmware"`
	Kernel      described `json:"kernel"`
	Initrd      described `json:"initrd"`
	Command     string    `json:"command"`
	Processors  int       `json:"processors"`
	Model       *string   `json:"model"`
	Signature   uint32    `json:"signature"`
	Features    uint64    `json:"features"`
	Measurement string    `json:"measurement"`
}

func (v vector) guest(t testing.TB) Guest {
	t.Helper()
	firmware, err := ParseFirmware(v.Firmware.contents(t))
	if err != nil {
		t.Fatal(err)
	}
	return Guest{Firmware: firmware, Kernel: sha256.Sum256(v.Kernel.contents(t)), Initrd: sha256.Sum256(v.Initrd.contents(t)), Command: v.Command,
		Processors: v.Processors, Signature: v.Signature, Features: v.Features}
}

func vectors(t testing.TB) []vector {
	t.Helper()
	content, err := os.ReadFile("../../../../vectors/measurement/sev_snp.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []vector `json:"cases"`
	}
	if err := json.Unmarshal(content, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) < 60 {
		t.Fatalf("%d vectors only", len(file.Cases))
	}
	return file.Cases
}

// What an independent program measures of random guests.
func TestVectors(t *testing.T) {
	models := 0
	for number, v := range vectors(t) {
		t.Run(fmt.Sprint(number), func(t *testing.T) {
			digest, err := Launch(v.guest(t))
			if err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(digest[:]); got != v.Measurement {
				t.Errorf("%s, and the other program has %s", got, v.Measurement)
			}
			if v.Model == nil {
				return
			}
			models++
			if signature, err := SignatureOf(*v.Model); err != nil || signature != v.Signature {
				t.Errorf("%s is %#x (%v), and %#x to the other program", *v.Model, signature, err, v.Signature)
			}
		})
	}
	if models < 30 {
		t.Errorf("%d vectors name a processor", models)
	}
}

// Whatever is measured changes the measurement: a byte of the firmware, kernel, initial file system, command line, each number.
func TestEverythingCounts(t *testing.T) {
	v := vectors(t)[0]
	seen := map[Digest]string{}
	measure := func(name string, change func(*Guest)) {
		g := v.guest(t)
		change(&g)
		digest, err := Launch(g)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if other, ok := seen[digest]; ok {
			t.Errorf("%s and %s have one measurement", name, other)
		}
		seen[digest] = name
	}
	measure("nothing changed", func(*Guest) {})
	measure("the firmware's first byte", func(g *Guest) { g.Firmware.image[0] ^= 1 })
	measure("the firmware's last byte", func(g *Guest) { g.Firmware.image[len(g.Firmware.image)-1] ^= 1 })
	measure("the kernel", func(g *Guest) { g.Kernel[31] ^= 1 })
	measure("the initial file system", func(g *Guest) { g.Initrd[0] ^= 1 })
	measure("the command line", func(g *Guest) { g.Command += " " })
	measure("one processor more", func(g *Guest) { g.Processors++ })
	measure("another processor", func(g *Guest) { g.Signature++ })
	measure("another feature", func(g *Guest) { g.Features ^= 1 << 5 })
}
