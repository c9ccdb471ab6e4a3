package archivefuzz

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// Sample is an archive with what it is read for.
type Sample struct {
	Name    string
	Archive []byte
	Schema  *bastionlabv1.Schema
	Loss    string
}

// description is what lies beside an archive, in NAME.json.
type description struct {
	Loss   string          `json:"loss"`
	Schema json.RawMessage `json:"schema"`
}

// Load reads all samples of a directory: NAME.pt with NAME.json.
func Load(directory string) ([]Sample, error) {
	names, err := filepath.Glob(filepath.Join(directory, "*.pt"))
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, errors.New("no archives in " + directory)
	}
	var samples []Sample
	for _, name := range names {
		sample, err := load(strings.TrimSuffix(name, ".pt"))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		samples = append(samples, sample)
	}
	return samples, nil
}

func load(base string) (Sample, error) {
	archive, err := os.ReadFile(base + ".pt")
	if err != nil {
		return Sample{}, err
	}
	text, err := os.ReadFile(base + ".json")
	if err != nil {
		return Sample{}, err
	}
	var described description
	if err := json.Unmarshal(text, &described); err != nil {
		return Sample{}, err
	}
	schema := &bastionlabv1.Schema{}
	if err := protojson.Unmarshal(described.Schema, schema); err != nil {
		return Sample{}, err
	}
	return Sample{Name: filepath.Base(base), Archive: archive, Schema: schema, Loss: described.Loss}, nil
}

// Save writes a sample as Load reads it, under another name.
func (s Sample) Save(directory, name string) error {
	schema, err := protojson.Marshal(s.Schema)
	if err != nil {
		return err
	}
	text, err := json.Marshal(description{s.Loss, schema})
	if err != nil {
		return err
	}
	base := filepath.Join(directory, name)
	return errors.Join(os.WriteFile(base+".pt", s.Archive, 0o600), os.WriteFile(base+".json", append(text, '\n'), 0o600))
}
