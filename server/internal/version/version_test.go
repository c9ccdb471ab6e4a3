package version

import (
	"strings"
	"testing"
)

func TestFar(t *testing.T) {
	for other, want := range map[string]bool{
		"1.4.0": false, "1.4.9": false, "1.3.7": false, "1.5.0": false, "1.5.0-rc.1": false,
		"1.2.9": true, "1.6.0": true, "1.40.0": true, "0.4.0": true, "2.4.0": true, "2.4.0-rc.1": true,
		"": false, "1.9": false, "newest": false, "v9.9.9": false, "1.9999999.0": false,
	} {
		if got := far("1.4.2", other); got != want {
			t.Errorf("1.4.2 and %q: far %t, want %t", other, got, want)
		}
	}
	if Far(Number) {
		t.Error("this version is far from itself")
	}
}

// Two numbers that say the same: a peer of another major is refused by the protocol's.
func TestNumberIsThreeNumbers(t *testing.T) {
	if found := three.FindString(Number); found != Number {
		t.Errorf("%q: of it %q is a version", Number, found)
	}
	if strings.Contains(Number, "-") {
		t.Errorf("%q has a suffix, which attestation policies do not read", Number)
	}
}
