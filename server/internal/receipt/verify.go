package receipt

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
)

// Check names a check, in the order in which they are made.
type Check string

// The checks of docs/receipts.md.
const (
	CheckForm      Check = "form"
	CheckSignature Check = "signature"
	CheckKey       Check = "key"
	CheckCharge    Check = "charge"
	CheckSums      Check = "sums"
	CheckFork      Check = "fork"
	CheckChain     Check = "chain"
)

// Failure is the first check that failed.
type Failure struct {
	Check Check
	At    int // which receipt of a book, from 0
	What  string
}

func (f *Failure) Error() string {
	return fmt.Sprintf("receipt %d fails the check %q: %s", f.At+1, f.Check, f.What)
}

// Verify checks a file offline: one receipt, or a book. key nil: that of the first receipt. charge says whether the price in a body is
// the price in its charge. A failed check is a *Failure.
func Verify(content []byte, key ed25519.PublicKey, charge func(Body) error) ([]Body, error) {
	files, err := Files(content)
	if err != nil {
		return nil, &Failure{CheckForm, 0, err.Error()}
	}
	var bodies []Body
	var hashes []string
	for i, file := range files {
		r, b, failed := verifyOne(file, key, charge)
		if failed != nil {
			failed.At = i
			return nil, failed
		}
		if key == nil {
			key = r.Key
		}
		bodies, hashes = append(bodies, b), append(hashes, HashText(r.Body))
	}
	if failed := verifyBook(bodies, hashes); failed != nil {
		return nil, failed
	}
	return bodies, nil
}

func verifyOne(file []byte, key ed25519.PublicKey, charge func(Body) error) (Receipt, Body, *Failure) {
	r, err := ParseFile(file)
	if err != nil {
		return r, Body{}, &Failure{Check: CheckForm, What: err.Error()}
	}
	b, err := Decode(r.Body)
	if err == nil {
		err = b.check()
	}
	if err != nil {
		return r, b, &Failure{Check: CheckForm, What: err.Error()}
	}
	if !r.SignedBy(r.Key) {
		return r, b, &Failure{Check: CheckSignature, What: "it is not signed by the key that it names"}
	}
	if key != nil && !bytes.Equal(key, r.Key) {
		return r, b, &Failure{Check: CheckKey, What: fmt.Sprintf("expected the key %x, it names %x", key, r.Key)}
	}
	if b.Type == Reserve {
		if err := charge(b); err != nil {
			return r, b, &Failure{Check: CheckCharge, What: err.Error()}
		}
	}
	if !b.sumsHold() {
		return r, b, &Failure{Check: CheckSums, What: fmt.Sprintf("the account after it cannot be %+v", b.After)}
	}
	return r, b, nil
}

// sumsHold says what must be so of an account after a movement, whatever was before.
func (b Body) sumsHold() bool {
	switch b.Type {
	case Reserve:
		return b.After.Spent >= b.Epsilon && b.After.SpentDelta >= b.RunDelta && (b.After.Infinite || !b.Infinite)
	case Freeze:
		return b.After.Frozen
	}
	return true
}

// verifyBook checks what several receipts say of each other.
func verifyBook(bodies []Body, hashes []string) *Failure {
	type place struct {
		account string
		seq     int64
	}
	known := map[place]string{}
	after := map[place]After{}
	closed := map[place]bool{}
	for i, b := range bodies {
		at := place{b.Account, b.Seq}
		if hash, twice := known[at]; twice && hash != hashes[i] {
			return &Failure{CheckFork, i, fmt.Sprintf("two receipts of account %s have the number %d and differ: the server ran twice, or its ledger was put back", b.Account, b.Seq)}
		}
		known[at], after[at], closed[at] = hashes[i], b.After, b.Type == Close
	}
	for i, b := range bodies {
		if before, there := known[place{b.Account, b.Seq - 1}]; there && b.Prev != before {
			return &Failure{CheckChain, i, fmt.Sprintf("it names another receipt before it than number %d of account %s is", b.Seq-1, b.Account)}
		}
	}
	reserves := prices(bodies)
	for i, b := range bodies {
		if closed[place{b.Account, b.Seq - 1}] {
			return &Failure{CheckSums, i, fmt.Sprintf("number %d closed account %s, and nothing follows on that", b.Seq-1, b.Account)}
		}
		if before, there := after[place{b.Account, b.Seq - 1}]; there && !b.follows(before, reserves[runKey{b.Dataset, b.Run}]) {
			return &Failure{CheckSums, i, fmt.Sprintf("number %d of account %s left it as %+v, and it cannot have made %+v of that", b.Seq-1, b.Account, before, b.After)}
		}
	}
	return nil
}
