package measurement

import (
	"bytes"
	"errors"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// fuzzedBytes is a firmware's end with its tables, and measuredAtMost what its sections may take to be measured here: more would be spent in SHA-384.
const (
	fuzzedBytes    = pageBytes / 4
	measuredAtMost = 64 * pageBytes
)

// Whatever lies at a firmware's end, it is measured or refused; and of one that is measured, what it loads is measured too.
func FuzzParseFirmware(f *testing.F) {
	for _, v := range vectors(f)[:20] {
		image := v.Firmware.contents(f)
		f.Add(image[len(image)-fuzzedBytes:])
	}
	f.Fuzz(func(t *testing.T, end []byte) {
		image := make([]byte, pageBytes)
		copy(image[max(0, pageBytes-len(end)):], end)
		firmware, err := ParseFirmware(image)
		var r *refusal.Error
		if err != nil {
			if !errors.As(err, &r) {
				t.Fatalf("an error that is no refusal: %v", err)
			}
			return
		}
		total := uint32(0)
		for _, s := range firmware.sections {
			total += s.Length
		}
		if total > measuredAtMost {
			return
		}
		g := Guest{Firmware: firmware, Processors: 1, Signature: 1, Features: SNPActive}
		plain, err := Launch(g)
		if err != nil {
			t.Fatal(err)
		}
		g.Kernel = [32]byte(bytes.Repeat([]byte{1}, 32))
		if other, err := Launch(g); err != nil || plain == other {
			t.Fatalf("the kernel is not measured (%v)", err)
		}
	})
}
