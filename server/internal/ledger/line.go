package ledger

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// The file has one line a movement: the chain's value in 64 hex digits, a space, the signature in base64, a space, the body in JSON, a
// newline. The body with its signature is the movement's receipt (package receipt). The chain's value after a line is the SHA-256 of
// chainContext, the value before it (32 zero bytes before the first), the signature and the body: it orders the movements of all accounts, where the
// bodies' own numbers order those of one. The file can be read with a pager and checked with ten lines of any language.
//
// The first line's body is a genesis.
const (
	chainContext    = "bastionlab ledger 2\n"
	chainDigits     = 2 * sha256.Size
	signatureDigits = 88 // of 64 bytes in base64
	prefixBytes     = chainDigits + 1 + signatureDigits + 1
	// MaxRecordBytes bounds a line, the newline included.
	MaxRecordBytes = 1 << 20
	// MaxChargeBytes bounds a charge so that its record fits in a line.
	MaxChargeBytes = MaxRecordBytes / 2

	formVersion = 2
)

// genesis is the first line: the form, the identity and the key of the file.
type genesis struct {
	Form   int    `json:"v"`
	Type   string `json:"type"` // "ledger"
	UnixMS int64  `json:"at"`
	ID     string `json:"id"`
	Key    string `json:"key"` // hex, Ed25519
}

func newGenesis(unixMS int64, key ed25519.PublicKey) genesis {
	var id [16]byte
	rand.Read(id[:]) // never fails
	return genesis{Form: formVersion, Type: "ledger", UnixMS: unixMS, ID: hex.EncodeToString(id[:]), Key: hex.EncodeToString(key)}
}

// decodeGenesis reads the body of the first line.
func decodeGenesis(body []byte) (genesis, error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	var g genesis
	if err := decoder.Decode(&g); err != nil || g.Type != "ledger" {
		return g, errors.New("a ledger begins with its own record")
	}
	if g.Form != formVersion {
		return g, fmt.Errorf("the ledger has form %d, this release knows form %d", g.Form, formVersion)
	}
	if again, err := json.Marshal(g); err != nil || !bytes.Equal(again, body) {
		return g, errBody
	}
	return g, nil
}

// line is one movement as the file holds it.
type line struct {
	signature, body []byte
}

type chain [sha256.Size]byte

func (c chain) after(l line) chain {
	digest := sha256.New()
	digest.Write([]byte(chainContext))
	digest.Write(c[:])
	digest.Write(l.signature)
	digest.Write(l.body)
	return chain(digest.Sum(nil))
}

// encode writes the line, and returns the chain's value after it.
func (l line) encode(before chain) ([]byte, chain, error) {
	after := before.after(l)
	encoded := make([]byte, 0, prefixBytes+len(l.body)+1)
	encoded = append(hex.AppendEncode(encoded, after[:]), ' ')
	encoded = append(base64.StdEncoding.AppendEncode(encoded, l.signature), ' ')
	encoded = append(append(encoded, l.body...), '\n')
	if len(encoded) > MaxRecordBytes {
		return nil, chain{}, fmt.Errorf("encode ledger record: %d bytes, at most %d", len(encoded), MaxRecordBytes)
	}
	return encoded, after, nil
}

var (
	errTorn   = errors.New("it is cut or changed: its checksum does not fit")
	errBody   = errors.New("its checksum fits, but it is no record of this release, or written in another way than this program writes")
	errForged = errors.New("it is not signed by this ledger's key")
)

// decode reads one line, newline included. Its error is errTorn exactly where the checksum does not fit. What it returns is a copy.
func decode(encoded []byte, before chain) (line, chain, error) {
	if len(encoded) < prefixBytes+1 || encoded[chainDigits] != ' ' || encoded[prefixBytes-1] != ' ' || encoded[len(encoded)-1] != '\n' {
		return line{}, chain{}, errTorn
	}
	signature, err := base64.StdEncoding.Strict().AppendDecode(nil, encoded[chainDigits+1:prefixBytes-1])
	if err != nil || len(signature) != ed25519.SignatureSize {
		return line{}, chain{}, errTorn
	}
	l := line{signature: signature, body: slices.Clone(encoded[prefixBytes : len(encoded)-1])}
	after := before.after(l)
	if !bytes.Equal(hex.AppendEncode(nil, after[:]), encoded[:chainDigits]) {
		return line{}, chain{}, errTorn
	}
	return l, after, nil
}
