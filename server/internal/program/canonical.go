package program

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
)

// A canonical program lies in a file as
//
//	length   8 bytes, little-endian: of the graph
//	graph    bastionlab.trainer.v1.Graph in protobuf's deterministic encoding
//	zeros    up to a multiple of 64 bytes from the beginning
//	tensors  one safetensors file; they are named "0", "1", ... in the order of their data, those of the largest elements first
//
// The tensors' header is padded to 8 bytes and no element is larger, so each tensor lies aligned to its elements and can be used where
// the file is mapped.
const (
	lengthBytes    = 8
	alignmentBytes = 64
)

// What a file that is no canonical program is refused with, and a program that is larger than any may be. Both speak of places and
// numbers, never of what the file holds: it may be hostile, and its texts were not looked at.
var (
	ErrMalformed = errors.New("program: malformed")
	ErrTooLarge  = errors.New("program: larger than a program may be")
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

func tooLarge(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrTooLarge, fmt.Sprintf(format, args...))
}

// Canonical is a program in its one form. Of a scanned one the tensors' data are not there.
type Canonical struct {
	Graph   *trainerv1.Graph
	Tensors []safetensors.Tensor // in the graph's numbering
}

// Scan reads the graph and the tensors' forms of a file of size bytes, and no tensor. What it accepts has one reading, and no byte of it
// is without meaning; whether it may be trained is for Judge.
func Scan(file io.ReaderAt, size int64) (Canonical, error) {
	canonical, _, err := read(file, size)
	return canonical, err
}

// Decode reads a file that lies in memory. The tensors' data alias it.
func Decode(payload []byte) (Canonical, error) {
	canonical, at, err := read(bytes.NewReader(payload), int64(len(payload)))
	if err != nil {
		return Canonical{}, err
	}
	for i := range canonical.Tensors {
		size, err := canonical.Tensors[i].Bytes()
		if err != nil {
			return Canonical{}, err
		}
		canonical.Tensors[i].Data = payload[at : at+size : at+size]
		at += size
	}
	return canonical, nil
}

// read also says where the tensors' data begin.
func read(file io.ReaderAt, size int64) (Canonical, int64, error) {
	graph, at, err := readGraph(file, size)
	if err != nil {
		return Canonical{}, 0, err
	}
	start := aligned(at)
	if start > size {
		return Canonical{}, 0, malformed("it ends before its tensors")
	}
	padding, err := readBytes(file, at, start-at)
	if err != nil {
		return Canonical{}, 0, err
	}
	if !bytes.Equal(padding, make([]byte, len(padding))) {
		return Canonical{}, 0, malformed("something lies between its graph and its tensors")
	}
	tensors, data, err := readTensors(file, start, size)
	return Canonical{Graph: graph, Tensors: tensors}, data, err
}

func readGraph(file io.ReaderAt, size int64) (graph *trainerv1.Graph, end int64, err error) {
	if size < lengthBytes {
		return nil, 0, malformed("%d bytes", size)
	}
	prefix, err := readBytes(file, 0, lengthBytes)
	if err != nil {
		return nil, 0, err
	}
	// SECURITY: the length is a stranger's word until it was compared with what is there and with what may be.
	length := binary.LittleEndian.Uint64(prefix)
	if length > maxGraphBytes {
		return nil, 0, tooLarge("a graph of %d bytes, at most %d are read", length, maxGraphBytes)
	}
	if int64(length) > size-lengthBytes {
		return nil, 0, malformed("the graph does not fit in the file")
	}
	encoded, err := readBytes(file, lengthBytes, int64(length))
	if err != nil {
		return nil, 0, err
	}
	graph, err = decodeGraph(encoded)
	return graph, lengthBytes + int64(length), err
}

func readTensors(file io.ReaderAt, start, size int64) (tensors []safetensors.Tensor, data int64, err error) {
	tensors, headerBytes, err := safetensors.Scan(io.NewSectionReader(file, start, size-start), size-start)
	if errors.Is(err, safetensors.ErrMalformed) {
		return nil, 0, malformed("its tensors: %s", err)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("program: its tensors: %w", err)
	}
	if err := checkOrder(tensors); err != nil {
		return nil, 0, err
	}
	// Safetensors leaves room for metadata, spaces and other names. Here there is one way to write a header.
	header, err := readBytes(file, start, headerBytes)
	if err != nil {
		return nil, 0, err
	}
	canonical, err := safetensors.Header(numbered(tensors))
	if err != nil || !bytes.Equal(header, canonical) {
		return nil, 0, malformed("its tensors are named, ordered or described in another way than the canonical one")
	}
	return tensors, start + headerBytes, nil
}

// checkOrder sees that larger elements come first: that is what aligns them.
func checkOrder(tensors []safetensors.Tensor) error {
	for i := 1; i < len(tensors); i++ {
		if safetensors.ItemBytes(tensors[i].DType) > safetensors.ItemBytes(tensors[i-1].DType) {
			return malformed("tensor %d has larger elements than the one before it", i)
		}
	}
	return nil
}

// numbered are the tensors under the names that they have in a file.
func numbered(tensors []safetensors.Tensor) []safetensors.Tensor {
	named := make([]safetensors.Tensor, len(tensors))
	for i, tensor := range tensors {
		tensor.Name = strconv.Itoa(i)
		named[i] = tensor
	}
	return named
}

// Write writes a program. The tensors are given their names here; those of the largest elements must come first.
func Write(w io.Writer, graph *trainerv1.Graph, tensors []safetensors.Tensor) error {
	head, err := encodeHead(graph, tensors)
	if err != nil {
		return err
	}
	if _, err := w.Write(head); err != nil {
		return fmt.Errorf("program: write the graph: %w", err)
	}
	if err := safetensors.Write(w, numbered(tensors)); err != nil {
		return fmt.Errorf("program: %w", err)
	}
	return nil
}

// Size is how many bytes Write would write.
func Size(graph *trainerv1.Graph, tensors []safetensors.Tensor) (int64, error) {
	head, err := encodeHead(graph, tensors)
	if err != nil {
		return 0, err
	}
	header, err := safetensors.Header(numbered(tensors))
	if err != nil {
		return 0, fmt.Errorf("program: %w", err)
	}
	size := int64(len(head) + len(header))
	for _, tensor := range tensors {
		data, err := tensor.Bytes()
		if err != nil {
			return 0, fmt.Errorf("program: %w", err)
		}
		size += data // Header has seen that the sum of them can be addressed
	}
	return size, nil
}

// encodeHead is all that comes before the tensors.
func encodeHead(graph *trainerv1.Graph, tensors []safetensors.Tensor) ([]byte, error) {
	if len(tensors) > safetensors.MaxTensors {
		return nil, tooLarge("%d tensors, at most %d", len(tensors), safetensors.MaxTensors)
	}
	if err := checkOrder(tensors); err != nil {
		return nil, err
	}
	encoded, err := encodeGraph(graph)
	if err != nil {
		return nil, err
	}
	end := lengthBytes + int64(len(encoded))
	head := make([]byte, aligned(end))
	binary.LittleEndian.PutUint64(head, uint64(len(encoded)))
	copy(head[lengthBytes:], encoded)
	return head, nil
}

func aligned(at int64) int64 { return (at + alignmentBytes - 1) / alignmentBytes * alignmentBytes }

func readBytes(file io.ReaderAt, offset, length int64) ([]byte, error) {
	content := make([]byte, length)
	n, err := file.ReadAt(content, offset)
	if n == len(content) {
		return content, nil // ReadAt may report io.EOF beside a full read
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // the caller gave another size than the file has
	}
	return nil, fmt.Errorf("program: read: %w", err)
}
