package receipt

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxFileBytes bounds one receipt in a file, without the white space around it. A body of MaxBodyBytes fits, however it is escaped as text.
const maxFileBytes = 1 << 20

const (
	blanks     = " \t\r" // in a line; other white space is none to JSON
	whiteSpace = blanks + "\n"
)

// fileForm is the version of the file's form.
const fileForm = "1"

// Files takes a file apart: one receipt, or a book of them, one a line. A file that is one JSON value from its beginning to its end is one
// receipt, however many lines that has.
func Files(content []byte) ([][]byte, error) {
	if json.Valid(content) {
		return [][]byte{content}, nil
	}
	var files [][]byte
	for _, line := range bytes.Split(content, []byte("\n")) {
		if line = bytes.Trim(line, blanks); len(line) > 0 {
			files = append(files, line)
		}
	}
	if len(files) == 0 {
		return nil, errors.New("the file holds no receipt")
	}
	return files, nil
}

// ParseFile reads one receipt as it is kept in a file.
func ParseFile(file []byte) (Receipt, error) {
	if file = bytes.Trim(file, whiteSpace); len(file) > maxFileBytes {
		return Receipt{}, fmt.Errorf("a receipt takes at most %d bytes", maxFileBytes)
	}
	members, err := flatObject(file)
	if err != nil {
		return Receipt{}, err
	}
	body, isText := members["body"].(string)
	signature, signatureRight := strictBase64(members["signature"])
	key, isKey := members["key"].(string)
	form, _ := members["bastionlab_receipt"].(json.Number)
	if len(members) != 4 || form.String() != fileForm || !isText || !signatureRight || len(signature) != ed25519.SignatureSize || !isKey || !isHash(key) {
		return Receipt{}, errors.New("a receipt file has the members bastionlab_receipt, body, signature and key")
	}
	public, err := hex.DecodeString(key)
	return Receipt{Body: []byte(body), Signature: signature, Key: public}, err
}

// flatObject reads a JSON object whose members are no objects, each of them once.
func flatObject(file []byte) (map[string]any, error) {
	unreadable := errors.New("it is no JSON object, or has a member twice")
	decoder := json.NewDecoder(bytes.NewReader(file))
	decoder.UseNumber()
	if begin, err := decoder.Token(); err != nil || begin != json.Delim('{') {
		return nil, unreadable
	}
	members := map[string]any{}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, unreadable
		}
		value, err := decoder.Token()
		if _, nested := value.(json.Delim); err != nil || nested {
			return nil, unreadable
		}
		if _, twice := members[name.(string)]; twice {
			return nil, unreadable
		}
		members[name.(string)] = value
	}
	if _, err := decoder.Token(); err != nil {
		return nil, unreadable
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, unreadable
	}
	return members, nil
}

// strictBase64 takes one way of writing only.
func strictBase64(value any) ([]byte, bool) {
	text, isText := value.(string)
	decoded, err := base64.StdEncoding.Strict().DecodeString(text)
	return decoded, isText && err == nil && base64.StdEncoding.EncodeToString(decoded) == text
}

// File writes a receipt as a file holds it.
func (r Receipt) File() ([]byte, error) {
	return json.Marshal(struct {
		Form      int    `json:"bastionlab_receipt"`
		Body      string `json:"body"`
		Signature []byte `json:"signature"`
		Key       string `json:"key"`
	}{1, string(r.Body), r.Signature, hex.EncodeToString(r.Key)})
}
