package receipt

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// What is written can be read and checked: a body beyond the bound is neither.
func TestABodyBeyondTheBoundIsNotWritten(t *testing.T) {
	b := Body{Form: Form, Type: Freeze, Account: "d", Seq: 1, Reason: "x"}
	shortest, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	b.Reason = strings.Repeat("x", MaxBodyBytes-len(shortest)+1)
	longest, err := b.Encode()
	if err != nil || len(longest) != MaxBodyBytes {
		t.Fatalf("%d bytes, %v", len(longest), err)
	}
	if _, err := Decode(longest); err != nil {
		t.Error(err)
	}
	b.Reason += "x"
	if _, err := b.Encode(); !errors.Is(err, ErrTooLong) {
		t.Errorf("it is written: %v", err)
	}
	if _, err := Decode(bytes.Replace(longest, []byte("xx"), []byte("xxx"), 1)); !errors.Is(err, ErrTooLong) {
		t.Errorf("it is read: %v", err)
	}
}
