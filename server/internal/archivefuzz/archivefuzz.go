// Package archivefuzz makes hostile archives out of honest ones: it takes a TorchScript archive apart, changes what lies in it as an
// author could - code by its words, pickles by their instructions, tensors, names, the dataset's schema - and packs it again with
// checksums that are right, so that the changes come past the check of the archive's outside and meet the parser.
//
// Invariant: a mutant depends on the mutator's seed and what it was given alone, so that two numbers name it.
//
// Non-goals: nothing here is part of a server or a trainer, nothing is judged or run here.
package archivefuzz

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
)

// entry is one member of an archive, unpacked.
type entry struct {
	name    string
	data    []byte
	deflate bool
}

// unpack reads what torch.jit.save wrote.
func unpack(archive []byte) ([]entry, error) {
	reader, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	var entries []entry
	for _, file := range reader.File {
		content, err := file.Open()
		if err != nil {
			return nil, fmt.Errorf("unpack: %w", err)
		}
		data, err := io.ReadAll(content)
		if err := content.Close(); err != nil {
			return nil, fmt.Errorf("unpack: %w", err)
		}
		if err != nil {
			return nil, fmt.Errorf("unpack: %w", err)
		}
		entries = append(entries, entry{file.Name, data, file.Method == zip.Deflate})
	}
	return entries, nil
}

// pack lays entries one after the other, sizes and checksums in front of each, as torch.jit.save does.
func pack(entries []entry) ([]byte, error) {
	var file bytes.Buffer
	writer := zip.NewWriter(&file)
	for _, e := range entries {
		data, method := e.data, zip.Store
		if e.deflate {
			var err error
			if data, err = deflated(e.data); err != nil {
				return nil, err
			}
			method = zip.Deflate
		}
		to, err := writer.CreateRaw(&zip.FileHeader{
			Name: e.name, Method: method, CRC32: crc32.ChecksumIEEE(e.data),
			CompressedSize64: uint64(len(data)), UncompressedSize64: uint64(len(e.data)),
		})
		if err != nil {
			return nil, fmt.Errorf("pack: %w", err)
		}
		if _, err := to.Write(data); err != nil {
			return nil, fmt.Errorf("pack: %w", err)
		}
	}
	if err := writer.Close(); err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	return file.Bytes(), nil
}

func deflated(data []byte) ([]byte, error) {
	var small bytes.Buffer
	writer, err := flate.NewWriter(&small, flate.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := writer.Write(data); err != nil {
		return nil, err
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	return small.Bytes(), nil
}

// inFolder is a member's name without the folder that everything lies in.
func (e entry) inFolder() string {
	_, name, _ := strings.Cut(e.name, "/")
	return name
}

func (e entry) isCode() bool {
	return strings.HasPrefix(e.inFolder(), "code/") && strings.HasSuffix(e.name, ".py")
}

func (e entry) isPickle() bool {
	return strings.HasSuffix(e.name, ".pkl") && !strings.HasSuffix(e.name, ".debug_pkl") && !strings.HasPrefix(e.inFolder(), "traced_inputs")
}

func (e entry) isTensor() bool {
	return strings.HasPrefix(e.inFolder(), "data/") || strings.HasPrefix(e.inFolder(), "constants/")
}

// which are the places of the entries that have a property.
func which(entries []entry, has func(entry) bool) []int {
	var found []int
	for i, e := range entries {
		if has(e) {
			found = append(found, i)
		}
	}
	return found
}

// stripped is the archive without what libtorch needs for nothing but messages.
func stripped(entries []entry) []entry {
	return slices.DeleteFunc(slices.Clone(entries), func(e entry) bool {
		return strings.HasSuffix(e.name, ".debug_pkl") || strings.HasPrefix(e.inFolder(), "traced_inputs")
	})
}
