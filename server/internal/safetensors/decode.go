package safetensors

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Decode reads a whole file. The tensors are in the order of their data; Data aliases file.
func Decode(file []byte) ([]Tensor, error) {
	if len(file) < lengthBytes {
		return nil, fmt.Errorf("%w: %d bytes, the header's length alone takes %d", ErrMalformed, len(file), lengthBytes)
	}
	headerBytes, err := headerLength(file[:lengthBytes], int64(len(file)))
	if err != nil {
		return nil, err
	}
	data := file[lengthBytes+headerBytes:]
	entries, err := parseHeader(file[lengthBytes:lengthBytes+headerBytes], int64(len(data)))
	if err != nil {
		return nil, err
	}
	tensors := make([]Tensor, len(entries))
	for i, e := range entries {
		tensors[i] = e.tensor
		tensors[i].Data = data[e.begin:e.end:e.end]
	}
	return tensors, nil
}

// Scan reads and checks the header of a file of size bytes without reading any tensor: Data is nil. It is for files too large to hold
// in memory; the tensors' data follow each other from dataOffset on, in the order returned.
func Scan(file io.ReaderAt, size int64) (tensors []Tensor, dataOffset int64, err error) {
	if size < lengthBytes {
		return nil, 0, fmt.Errorf("%w: %d bytes, the header's length alone takes %d", ErrMalformed, size, lengthBytes)
	}
	var prefix [lengthBytes]byte
	if err := readFull(file, prefix[:], 0); err != nil {
		return nil, 0, fmt.Errorf("read header length: %w", err)
	}
	headerBytes, err := headerLength(prefix[:], size)
	if err != nil {
		return nil, 0, err
	}
	header := make([]byte, headerBytes)
	if err := readFull(file, header, lengthBytes); err != nil {
		return nil, 0, fmt.Errorf("read header: %w", err)
	}
	dataOffset = lengthBytes + headerBytes
	entries, err := parseHeader(header, size-dataOffset)
	if err != nil {
		return nil, 0, err
	}
	tensors = make([]Tensor, len(entries))
	for i, e := range entries {
		tensors[i] = e.tensor
	}
	return tensors, dataOffset, nil
}

func headerLength(prefix []byte, fileBytes int64) (int64, error) {
	length := binary.LittleEndian.Uint64(prefix)
	if length > MaxHeaderBytes {
		return 0, fmt.Errorf("%w: a header of %d bytes, at most %d are read", ErrMalformed, length, MaxHeaderBytes)
	}
	if int64(length) > fileBytes-lengthBytes {
		return 0, fmt.Errorf("%w: the header does not fit in the file", ErrMalformed)
	}
	return int64(length), nil
}

func readFull(file io.ReaderAt, into []byte, offset int64) error {
	n, err := file.ReadAt(into, offset)
	if n == len(into) {
		return nil // ReadAt may report io.EOF beside a full read
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return err
}
