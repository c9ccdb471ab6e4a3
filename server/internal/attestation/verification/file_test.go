package verification

import (
	"bytes"
	"encoding/json"
	"testing"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
)

// saved is evidence as the Python client saves it.
func saved(t testing.TB, m *machine, put map[string]any) []byte {
	t.Helper()
	encoded, err := proto.Marshal(m.evidence(t))
	if err != nil {
		t.Fatal(err)
	}
	members := map[string]any{"form": fileForm, "evidence": encoded, "public_key": m.channel.PublicKey, "nonce": m.nonce[:], "exporter": m.channel.Exporter[:]}
	for name, value := range put {
		if members[name] = value; value == nil {
			delete(members, name)
		}
	}
	content, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestParseFile(t *testing.T) {
	m := milan()
	f, err := ParseFile(saved(t, m, nil))
	if err != nil {
		t.Fatal(err)
	}
	if f.Channel.Binding != bastionlabv1.Binding_BINDING_EXPORTER || f.Channel.Exporter != m.channel.Exporter || !bytes.Equal(f.Nonce, m.nonce[:]) || f.Evidence.GetFormat() != "sev-snp" {
		t.Errorf("%+v", f)
	}
	if f, err = ParseFile(saved(t, m, map[string]any{"exporter": ""})); err != nil || f.Channel.Binding != bastionlabv1.Binding_BINDING_KEY || f.Channel.Exporter != [32]byte{} {
		t.Errorf("%+v, %v", f, err)
	}
	for name, test := range map[string]struct {
		check   string
		content []byte
	}{
		"nothing":               {"evidence", nil},
		"no JSON":               {"evidence", []byte("evidence")},
		"cut short":             {"evidence", saved(t, m, nil)[:200]},
		"too long":              {"evidence", append(saved(t, m, nil), bytes.Repeat([]byte(" "), MaxFileBytes)...)},
		"another form":          {"evidence", saved(t, m, map[string]any{"form": "bastionlab evidence 2"})},
		"no form":               {"evidence", saved(t, m, map[string]any{"form": nil})},
		"no evidence":           {"evidence", saved(t, m, map[string]any{"evidence": nil})},
		"evidence that is none": {"evidence", saved(t, m, map[string]any{"evidence": []byte{0xFF}})},
		"no base64":             {"evidence", saved(t, m, map[string]any{"nonce": "%"})},
		"another way of base64": {"evidence", saved(t, m, map[string]any{"nonce": "AB=="})},
		"a line in base64":      {"evidence", saved(t, m, map[string]any{"nonce": "AA\nAA"})},
		"a number":              {"evidence", saved(t, m, map[string]any{"nonce": 1})},
		"one member more":       {"evidence", saved(t, m, map[string]any{"x": "y"})},
		"a short exporter":      {"binding", saved(t, m, map[string]any{"exporter": []byte{1}})},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseFile(test.content)
			refusedUnder(t, err, test.check)
		})
	}
}
