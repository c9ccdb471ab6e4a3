package attestation

import "time"

// Files is what is asked of the machine's files.
type Files struct {
	Present func(path string) bool
	Now     func() time.Time
}

// Open takes the hardware that there is, and simulates it only where there is none. endorsement is what the operator fetched for this machine:
// the certificate of an AMD chip's key in DER, or Intel's collateral in JSON; nil where the host hands out all.
func Open(files Files, endorsement []byte) (Provider, error) {
	switch {
	case files.Present(devices[0]):
		return NewSNP(endorsement)
	case files.Present(devices[1]):
		return NewTDX(endorsement)
	}
	return NewSimulated(files.Present, files.Now())
}

// Device is the path of the machine's TEE; empty where it has none.
func Device(present func(path string) bool) string {
	for _, device := range devices {
		if present(device) {
			return device
		}
	}
	return ""
}
