package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"unicode/utf8"
)

// Header is the beginning of a file that holds the tensors in the order given: the length and the JSON, padded so that the data begin at
// a multiple of 8. The tensors' bytes must follow, one after the other. Data is not looked at.
func Header(tensors []Tensor) ([]byte, error) {
	if len(tensors) > MaxTensors {
		return nil, fmt.Errorf("write safetensors: %d tensors, at most %d", len(tensors), MaxTensors)
	}
	header := bytes.NewBuffer(make([]byte, lengthBytes, 256+128*len(tensors)))
	header.WriteByte('{')
	seen := make(map[string]bool, len(tensors))
	var at int64
	for i, t := range tensors {
		if t.Name == "" || t.Name == metadataKey || len(t.Name) > MaxNameBytes || !utf8.ValidString(t.Name) || seen[t.Name] {
			return nil, fmt.Errorf("write safetensors: tensor %d has an empty, reserved, overlong, malformed or repeated name", i)
		}
		seen[t.Name] = true
		size, err := t.Bytes()
		if err != nil {
			return nil, fmt.Errorf("write safetensors: tensor %d: %w", i, err)
		}
		if size > math.MaxInt64-at {
			return nil, fmt.Errorf("write safetensors: more data than can be addressed")
		}
		if i > 0 {
			header.WriteByte(',')
		}
		if err := writeEntry(header, t, at, at+size); err != nil {
			return nil, err
		}
		at += size
	}
	header.WriteByte('}')
	for header.Len()%lengthBytes != 0 {
		header.WriteByte(' ')
	}
	file := header.Bytes()
	length := len(file) - lengthBytes
	if length > MaxHeaderBytes {
		return nil, fmt.Errorf("write safetensors: a header of %d bytes, at most %d", length, MaxHeaderBytes)
	}
	binary.LittleEndian.PutUint64(file, uint64(length))
	return file, nil
}

func writeEntry(header *bytes.Buffer, t Tensor, begin, end int64) error {
	name, err := json.Marshal(t.Name)
	if err != nil {
		return fmt.Errorf("write safetensors: encode a name: %w", err)
	}
	header.Write(name)
	header.WriteString(`:{"dtype":"` + DTypeName(t.DType) + `","shape":[`)
	for i, dim := range t.Shape {
		if i > 0 {
			header.WriteByte(',')
		}
		header.WriteString(strconv.FormatInt(dim, 10))
	}
	fmt.Fprintf(header, `],"data_offsets":[%d,%d]}`, begin, end)
	return nil
}

// Write writes a whole file.
func Write(w io.Writer, tensors []Tensor) error {
	for i, t := range tensors {
		size, err := t.Bytes()
		if err != nil {
			return fmt.Errorf("write safetensors: tensor %d: %w", i, err)
		}
		if size != int64(len(t.Data)) {
			return fmt.Errorf("write safetensors: tensor %d has %d bytes, its dtype and shape ask for %d", i, len(t.Data), size)
		}
	}
	header, err := Header(tensors)
	if err != nil {
		return err
	}
	if _, err := w.Write(header); err != nil {
		return fmt.Errorf("write safetensors header: %w", err)
	}
	for i, t := range tensors {
		if _, err := w.Write(t.Data); err != nil {
			return fmt.Errorf("write safetensors tensor %d: %w", i, err)
		}
	}
	return nil
}
