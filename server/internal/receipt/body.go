// Package receipt is the form of a signed movement of a budget account: what it says, how it is written, signed and checked. It is pure.
//
// Invariants: a body has exactly one way of being written, and what is read is refused unless it is written so; what is signed is the
// bytes of the body, so that nobody has to write it anew to check it. docs/receipts.md has the form for those who read it in another language.
//
// Non-goals: it keeps no book and knows no rule of accounts (ledger), and it does not decode a charge (planning).
package receipt

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
)

// Form is the version of the form.
const Form = 1

// Type says what moved.
type Type string

// The types of movements.
const (
	Open    Type = "open"    // a dataset begins an account
	Join    Type = "join"    // a dataset joins the account of earlier uploads of its records
	Limit   Type = "limit"   // a lower limit
	Reserve Type = "reserve" // a run's charge, in full
	Data    Type = "data"    // from here on the trainer may have the data
	Release Type = "release" // the charge given back: the trainer never had the data
	Settle  Type = "settle"  // how the run ended
	Freeze  Type = "freeze"  // nothing is charged any more
	Close   Type = "close"   // the last of an account whose key ends with its boot: what was spent, and that nothing more will be
)

// Body is what a receipt says. Its members are written in this order.
type Body struct {
	Form   int   `json:"v"`
	Type   Type  `json:"type"`
	UnixMS int64 `json:"at"`

	Account string `json:"account"`        // the identifier of its first dataset
	Seq     int64  `json:"seq"`            // in the account, from 1
	Prev    string `json:"prev,omitempty"` // hex SHA-256 of the body before it in the account

	Origin
	Lease string `json:"lease,omitempty"` // kept for what an owner lends to a boot

	Dataset   string `json:"dataset"`
	Owner     string `json:"owner"`
	Scientist string `json:"scientist,omitempty"`

	Limit    accounting.Epsilon `json:"limit,omitempty"` // left out: none
	Delta    accounting.Delta   `json:"delta,omitempty"`
	Orders   []int64            `json:"orders,omitempty"` // of the counting filters
	Declared int64              `json:"declared,omitempty"`
	Blob     string             `json:"blob,omitempty"`     // hex SHA-256 of the records as stored
	Rows     string             `json:"rows,omitempty"`     // hex SHA-256 of the records' digests
	TestOf   string             `json:"test_of,omitempty"`  // the training set that it is the test set of
	Accounts []string           `json:"accounts,omitempty"` // those that this one continues too

	Run      string             `json:"run,omitempty"`
	Epsilon  accounting.Epsilon `json:"epsilon,omitempty"`
	RunDelta accounting.Delta   `json:"run_delta,omitempty"`
	Infinite bool               `json:"infinite,omitempty"` // without noise
	Renyi    []accounting.Renyi `json:"renyi,omitempty"`    // at the account's orders
	Charge   []byte             `json:"charge,omitempty"`   // bastionlab.v1.Charge, as it was authorised

	Outcome   string `json:"outcome,omitempty"`
	Reason    string `json:"reason,omitempty"`
	Presented string `json:"presented,omitempty"` // hex SHA-256 of the receipt that was presented

	After After `json:"after"`
}

// Origin is which server wrote a receipt.
type Origin struct {
	Boot        string `json:"boot"`  // of this start
	Level       string `json:"level"` // where its key is kept
	Development bool   `json:"development"`
	Release     string `json:"release"`
}

// After is the account after the movement.
type After struct {
	Limit      accounting.Epsilon `json:"limit,omitempty"`
	Delta      accounting.Delta   `json:"delta"`
	Spent      accounting.Epsilon `json:"spent"`
	SpentDelta accounting.Delta   `json:"spent_delta"`
	Infinite   bool               `json:"infinite,omitempty"`
	Frozen     bool               `json:"frozen,omitempty"`
}

// MaxBodyBytes bounds a body: what fits into a message must fit into a line of a book too, whose quotation marks take two bytes.
const MaxBodyBytes = 256 << 10

// Moment is a time as a receipt takes it: a clock that is set beyond what the form knows must not make a receipt that no verifier takes.
func Moment(unixMS int64) int64 { return min(max(unixMS, 0), latestUnixMS) }

// ErrTooLong is a body beyond MaxBodyBytes, which nobody could check.
var ErrTooLong = fmt.Errorf("a receipt's body takes at most %d bytes", MaxBodyBytes)

// Encode writes a body in its one way.
func (b Body) Encode() ([]byte, error) {
	encoded, err := json.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("encode receipt: %w", err)
	}
	if len(encoded) > MaxBodyBytes {
		return nil, ErrTooLong
	}
	return encoded, nil
}

// ErrBody is a body that is not written as this program writes it.
var ErrBody = errors.New("it is no receipt of this form, or written in another way than receipts are")

// Decode reads a body, and refuses one that is written in another way than Encode writes it: so each has one reading.
func Decode(encoded []byte) (Body, error) {
	if len(encoded) > MaxBodyBytes {
		return Body{}, ErrTooLong
	}
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.DisallowUnknownFields()
	var b Body
	if err := decoder.Decode(&b); err != nil || b.Form != Form {
		return Body{}, ErrBody
	}
	if again, err := json.Marshal(b); err != nil || !bytes.Equal(again, encoded) {
		return Body{}, ErrBody
	}
	return b, nil
}

// Hash names a body.
func Hash(encoded []byte) [sha256.Size]byte { return sha256.Sum256(encoded) }

// HashText is Hash in hex, as Prev and Presented hold it.
func HashText(encoded []byte) string {
	hash := Hash(encoded)
	return hex.EncodeToString(hash[:])
}
