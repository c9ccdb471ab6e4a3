package measurement

import (
	"errors"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// Whatever lies at a firmware's end, it is measured or refused; and one that is measured has one place for the digests of what it loads, in a page
// that is measured.
func FuzzParseFirmware(f *testing.F) {
	const kept = 2 * pageBytes
	for _, v := range vectors(f)[:20] {
		image := v.Firmware.contents(f)
		f.Add(image[max(0, len(image)-kept):])
	}
	f.Add(sound().build())
	f.Fuzz(func(t *testing.T, image []byte) {
		firmware, err := ParseFirmware(image)
		var r *refusal.Error
		if err != nil {
			if !errors.As(err, &r) {
				t.Fatalf("an error that is no refusal: %v", err)
			}
			return
		}
		g := Guest{Firmware: firmware, Processors: 1, Signature: 1, Features: SNPActive}
		plain, err := Launch(g)
		if err != nil {
			t.Fatal(err)
		}
		g.Kernel[0] = 1
		other, err := Launch(g)
		if err != nil {
			t.Fatal(err)
		}
		if plain == other {
			t.Fatal("the kernel is not measured")
		}
	})
}
