package ledger

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
)

// A record is one line: the chain's value in 64 hex digits, a space, the body in JSON, a newline. The chain's value after a record is the
// SHA-256 of chainContext, the value before it (32 zero bytes before the first) and the body. The file can be read with a pager
// and checked with ten lines of any language.
//
// The body is exactly what encoding/json writes for the record type: a reader that takes only that has one reading of every line.
const (
	chainContext = "bastionlab ledger 1\n"
	chainDigits  = 2 * sha256.Size
	// MaxRecordBytes bounds a line, the newline included.
	MaxRecordBytes = 1 << 20
	// MaxChargeBytes bounds a charge so that its record fits in a line.
	MaxChargeBytes = MaxRecordBytes / 2

	formVersion = 1
)

type recordType string

const (
	typeLedger  recordType = "ledger"  // the first: form and identity of the file
	typeAccount recordType = "account" // a dataset and its limits
	typeLimit   recordType = "limit"   // a lower limit
	typeReserve recordType = "reserve" // a run's charge, in full
	typeData    recordType = "data"    // from here on the trainer may have the data
	typeRelease recordType = "release" // the charge given back: the trainer never had the data
	typeSettle  recordType = "settle"  // how the run ended
)

type record struct {
	Type   recordType `json:"type"`
	UnixMS int64      `json:"at"`

	Version int    `json:"version,omitempty"`
	ID      string `json:"id,omitempty"`

	Dataset  string             `json:"dataset,omitempty"`
	Owner    string             `json:"owner,omitempty"`
	Limit    accounting.Epsilon `json:"limit,omitempty"` // units of 1e-9; left out: none
	Declared int64              `json:"declared,omitempty"`
	Blob     string             `json:"blob,omitempty"` // hex SHA-256 of the records

	Run      string             `json:"run,omitempty"`
	Epsilon  accounting.Epsilon `json:"epsilon,omitempty"` // units of 1e-9
	Delta    accounting.Delta   `json:"delta,omitempty"`   // units of 1e-18
	Infinite bool               `json:"infinite,omitempty"`
	Charge   []byte             `json:"charge,omitempty"`
	Outcome  string             `json:"outcome,omitempty"`
}

func genesis() record {
	var id [16]byte
	rand.Read(id[:]) // never fails
	return record{Type: typeLedger, Version: formVersion, ID: hex.EncodeToString(id[:])}
}

type chain [sha256.Size]byte

func (c chain) after(body []byte) chain {
	digest := sha256.New()
	digest.Write([]byte(chainContext))
	digest.Write(c[:])
	digest.Write(body)
	return chain(digest.Sum(nil))
}

// encode returns the record's line and the chain's value after it.
func (r record) encode(before chain) ([]byte, chain, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, chain{}, fmt.Errorf("encode ledger record: %w", err)
	}
	after := before.after(body)
	line := hex.AppendEncode(make([]byte, 0, chainDigits+len(body)+2), after[:])
	line = append(line, ' ')
	line = append(line, body...)
	line = append(line, '\n')
	if len(line) > MaxRecordBytes {
		return nil, chain{}, fmt.Errorf("encode ledger record: %d bytes, at most %d", len(line), MaxRecordBytes)
	}
	return line, after, nil
}

var (
	errTorn  = errors.New("it is cut or changed: its checksum does not fit")
	errBody  = errors.New("its checksum fits, but it is no record of this release")
	errTwice = errors.New("its checksum fits, but it is written in another way than this program writes")
)

// decode reads one line, newline included. Its error is errTorn exactly where the checksum does not fit.
func decode(line []byte, before chain) (record, chain, error) {
	if len(line) < chainDigits+2 || line[chainDigits] != ' ' || line[len(line)-1] != '\n' {
		return record{}, chain{}, errTorn
	}
	body := line[chainDigits+1 : len(line)-1]
	after := before.after(body)
	if !bytes.Equal(hex.AppendEncode(nil, after[:]), line[:chainDigits]) {
		return record{}, chain{}, errTorn
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	var r record
	if err := decoder.Decode(&r); err != nil {
		return record{}, chain{}, errBody
	}
	if again, err := json.Marshal(r); err != nil || !bytes.Equal(again, body) {
		return record{}, chain{}, errTwice
	}
	return r, after, nil
}
