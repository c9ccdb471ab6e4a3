package fsck

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
)

// Expected is what is known of the file from elsewhere.
type Expected struct {
	Key    ed25519.PublicKey // nil: the one that the file names
	Aside  bool              // of an earlier boot: its end is where the file ends, whole or torn
	Marked bool              // what follows is known
	// The position that was last acknowledged before the file was read; zeros where there is none yet.
	Records, Bytes int64
	Chain          []byte
	Forged         bool // the position was not written by whoever has the key
	// Newest are the records acknowledged after the file's end was known, which are more where a server writes meanwhile.
	Newest int64
}

// spoilt says whether no ledger ever acknowledged that.
func (e Expected) spoilt() bool {
	if e.Records == 0 {
		return e.Bytes != 0 || len(e.Chain) > 0 && !bytes.Equal(e.Chain, make([]byte, sha256.Size))
	}
	return e.Records < 0 || e.Bytes <= 0 || len(e.Chain) != sha256.Size
}

// Finding is one thing that does not fit.
type Finding struct {
	Record  int64  `json:"record"` // from 0
	Account string `json:"account,omitempty"`
	Check   string `json:"check"`
	What    string `json:"what"`
}

// Report is what was found.
type Report struct {
	Records  int64     `json:"records"`
	Bytes    int64     `json:"bytes"`
	Torn     int64     `json:"torn_bytes"` // of a record that was never whole, at the end
	Key      string    `json:"key"`
	Accounts int       `json:"accounts"`
	Charges  []Charge  `json:"charges"`
	Findings []Finding `json:"findings"`
}
