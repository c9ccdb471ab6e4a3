package verification

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
)

// vector is a case of vectors/attestation, which the Python client decides too.
type vector struct {
	Name         string              `json:"name"`
	Evidence     []byte              `json:"evidence"` // its certificates are in Endorsements, by name
	Endorsements []string            `json:"endorsements"`
	PublicKey    string              `json:"public_key"`
	Nonce        string              `json:"nonce"`
	Exporter     string              `json:"exporter"`
	Policy       json.RawMessage     `json:"policy"`
	Roots        map[string][]string `json:"roots"`
	Now          time.Time           `json:"now"`
	Refused      *string             `json:"refused"`
}

func vectors(t testing.TB) []vector {
	t.Helper()
	content, err := os.ReadFile("../../../../vectors/attestation/synthetic.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Certificates map[string][]byte `json:"certificates"`
		Cases        []vector          `json:"cases"`
	}
	if err := json.Unmarshal(content, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) < 300 {
		t.Fatalf("%d vectors only", len(file.Cases))
	}
	for i, v := range file.Cases {
		evidence := &bastionlabv1.Evidence{}
		if err := proto.Unmarshal(v.Evidence, evidence); err != nil {
			t.Fatal(err)
		}
		for _, name := range v.Endorsements {
			evidence.Endorsements = append(evidence.Endorsements, file.Certificates[name])
		}
		if file.Cases[i].Evidence, err = proto.Marshal(evidence); err != nil {
			t.Fatal(err)
		}
	}
	return file.Cases
}

// file is the case's evidence as a client saves it.
func (v vector) file(t testing.TB) []byte {
	t.Helper()
	content, err := json.Marshal(map[string]any{"form": fileForm, "evidence": v.Evidence, "public_key": v.PublicKey, "nonce": v.Nonce, "exporter": v.Exporter})
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func (v vector) judge(t testing.TB) error {
	t.Helper()
	p, err := ParsePolicy(v.Policy)
	if err != nil {
		return err
	}
	f, err := ParseFile(v.file(t))
	if err != nil {
		return err
	}
	roots := AMDRoots()
	if v.Roots != nil {
		roots = v.Roots
	}
	_, err = Verify(f.Evidence, f.Nonce, f.Channel, p, v.Now, roots)
	return err
}

// Go and Python decide alike, and name the same check.
func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			err := v.judge(t)
			if v.Refused != nil {
				refusedUnder(t, err, *v.Refused)
			} else if err != nil {
				t.Fatal(err)
			}
		})
	}
}
