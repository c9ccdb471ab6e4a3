package fsck

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"

	"github.com/bastionlab/bastionlab/server/internal/receipt"
)

const (
	maxLine     = 1 << 20
	chainPrefix = "bastionlab ledger 2\n"
	hexDigits   = 64
	signDigits  = 88
)

// tail is what follows the last newline.
func (c *checker) tail(rest []byte) {
	if len(rest) == 0 {
		return
	}
	c.at = c.report.Records
	c.report.Torn = int64(len(rest))
	if c.expected.Marked && c.report.Records < c.expected.Records {
		c.finds("", "chain", "the file is cut within what was acknowledged")
	}
}

// line takes one line apart: the chain's value, a signature, a body.
func (c *checker) line(encoded []byte) {
	c.at = c.report.Records
	body, signature, ok := c.linked(encoded)
	if !ok {
		if c.expected.Aside || c.expected.Marked && c.report.Records >= c.expected.Records {
			c.report.Torn = int64(len(encoded)) // beyond what was acknowledged: a write that was not finished
		} else {
			c.finds("", "chain", "its checksum does not fit: the line, or one before it, was changed, taken out or put in")
		}
		c.ended = true
		return
	}
	c.report.Records++
	c.report.Bytes += int64(len(encoded))
	if c.at == 0 {
		c.first(body)
	}
	if !ed25519.Verify(c.key, append([]byte("bastionlab receipt 1\n"), body...), signature) {
		c.finds("", "signature", "it is not signed by the ledger's key")
	}
	if c.at > 0 {
		c.movement(body)
	}
	if c.report.Records == c.expected.Records && (c.report.Bytes != c.expected.Bytes || !bytes.Equal(c.chain[:], c.expected.Chain)) {
		c.finds("", "mark", "another position was acknowledged here: file and database do not belong together")
	}
}

// linked checks the chain, in code of its own.
func (c *checker) linked(encoded []byte) (body, signature []byte, ok bool) {
	const prefix = hexDigits + 1 + signDigits + 1
	if len(encoded) <= prefix || encoded[hexDigits] != ' ' || encoded[prefix-1] != ' ' {
		return nil, nil, false
	}
	signature, err := base64.StdEncoding.Strict().DecodeString(string(encoded[hexDigits+1 : prefix-1]))
	if err != nil || len(signature) != ed25519.SignatureSize {
		return nil, nil, false
	}
	body = bytes.Clone(encoded[prefix : len(encoded)-1])
	var hashed bytes.Buffer
	hashed.WriteString(chainPrefix)
	hashed.Write(c.chain[:])
	hashed.Write(signature)
	hashed.Write(body)
	sum := sha256.Sum256(hashed.Bytes())
	if hex.EncodeToString(sum[:]) != string(encoded[:hexDigits]) {
		return nil, nil, false
	}
	c.chain = sum
	return body, signature, true
}

// first reads the file's own record, which has one way of being written too.
func (c *checker) first(body []byte) {
	var head struct {
		Form   int    `json:"v"`
		Type   string `json:"type"`
		UnixMS int64  `json:"at"`
		ID     string `json:"id"`
		Key    string `json:"key"`
	}
	key := make([]byte, ed25519.PublicKeySize) // of which nothing is signed
	err := json.Unmarshal(body, &head)
	again, _ := json.Marshal(head)
	if err != nil || head.Type != "ledger" || head.Form != 2 || !bytes.Equal(again, body) {
		c.finds("", "form", "a ledger of form 2 begins with its own record")
	} else if found, err := hex.DecodeString(head.Key); err != nil || len(found) != len(key) {
		c.finds("", "form", "the ledger names no key")
	} else {
		key = found
	}
	c.key, c.report.Key = key, hex.EncodeToString(key)
	if c.expected.Key != nil && !bytes.Equal(c.expected.Key, key) {
		c.finds("", "key", "the ledger names another key than this directory's")
		c.key = c.expected.Key
	}
}

func isHex(digits string) bool {
	_, err := hex.DecodeString(digits)
	return err == nil
}

func (c *checker) movement(body []byte) {
	m, err := receipt.Decode(body)
	if err != nil {
		c.finds("", "form", "it is no receipt of this form")
		return
	}
	if c.told != nil {
		c.told(body, m)
	}
	c.follow(m, body)
}
