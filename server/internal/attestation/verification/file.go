package verification

import (
	"encoding/base64"
	"fmt"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/attestation"
)

// fileForm is what a file of evidence says of itself.
const fileForm = "bastionlab evidence 1"

// MaxFileBytes bounds a file of evidence: a quote with its collateral, or a path and three certificates, in base64.
const MaxFileBytes = 1 << 20

// File is evidence as a client keeps it, with what it was bound to.
type File struct {
	Evidence *bastionlabv1.Evidence
	Nonce    []byte
	Channel  attestation.Channel
}

// ParseFile reads a file of evidence. Nothing in it is believed.
func ParseFile(content []byte) (File, error) {
	if len(content) > MaxFileBytes {
		return File{}, refuse("evidence", "a file of at most 1 MiB", "%d bytes", len(content))
	}
	members, err := strictObject(content)
	if err != nil {
		return File{}, refuse("evidence", "a file of evidence, as a client saves it", "no such file: %s", err)
	}
	r := textReader{members: members}
	if form := r.text("form"); form != fileForm {
		return File{}, refuse("evidence", "a file of the form "+fileForm, "%.40q", form)
	}
	encoded, nonce, exporter := r.base64("evidence"), r.base64("nonce"), r.base64("exporter")
	channel := attestation.Channel{PublicKey: r.base64("public_key"), Binding: bastionlabv1.Binding_BINDING_KEY}
	evidence := &bastionlabv1.Evidence{}
	if err := proto.Unmarshal(encoded, evidence); err != nil {
		r.fail("evidence")
	}
	switch len(exporter) {
	case 0:
	case attestation.ExporterBytes:
		channel.Binding, channel.Exporter = bastionlabv1.Binding_BINDING_EXPORTER, [attestation.ExporterBytes]byte(exporter)
	default:
		return File{}, refuse("binding", fmt.Sprintf("an exporter of %d bytes, or none", attestation.ExporterBytes), "%d", len(exporter))
	}
	if r.failed == "" && len(members) != r.read {
		r.failed = "its members"
	}
	if r.failed != "" {
		return File{}, refuse("evidence", "the members form, evidence, public_key, nonce and exporter", "something wrong with %s", r.failed)
	}
	return File{evidence, nonce, channel}, nil
}

// base64 takes one way of writing only.
func (r *textReader) base64(name string) []byte {
	text := r.text(name)
	decoded, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || base64.StdEncoding.EncodeToString(decoded) != text {
		r.fail(name)
	}
	return decoded
}
