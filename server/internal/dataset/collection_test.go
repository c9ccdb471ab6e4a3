package dataset

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
)

// textBytes is how much of a message a record holds.
const textBytes = 200

// message is a record before it has a dtype.
type message struct {
	text  [textBytes]byte
	label int64
}

// collections are what a test is run on: a small one that is made here, with messages that occur more than once as in every collection
// of people's messages, and, where there is a copy, the SMS Spam Collection.
func collections(t *testing.T, test func(t *testing.T, messages []message)) {
	t.Run("made", func(t *testing.T) { test(t, madeCollection()) })
	t.Run("SMS Spam Collection", func(t *testing.T) {
		path := os.Getenv("BASTIONLAB_SMS_DATA")
		if path == "" {
			t.Skip("needs BASTIONLAB_SMS_DATA=FILE, the SMS Spam Collection")
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		messages := []message{}
		for line := range strings.Lines(string(content)) {
			label, text, ok := strings.Cut(strings.TrimRight(line, "\r\n"), "\t")
			if !ok {
				t.Fatal("a line without a label")
			}
			messages = append(messages, messageOf(text, label == "spam"))
		}
		test(t, messages)
	})
}

func messageOf(text string, spam bool) (m message) {
	copy(m.text[:], text)
	if spam {
		m.label = 1
	}
	return m
}

// madeCollection is a thousand messages of which a fifth say one of few things.
func madeCollection() (messages []message) {
	random := rand.New(rand.NewPCG(11, 12))
	for i := range 1000 {
		text := fmt.Sprintf("message %d about %d", i, random.IntN(1000))
		if random.IntN(5) == 0 {
			text = fmt.Sprintf("ok see you at %d", random.IntN(60))
		}
		messages = append(messages, messageOf(text, random.IntN(7) == 0))
	}
	return messages
}

func shuffled(messages []message, seed uint64) []message {
	messages = append([]message(nil), messages...)
	random := rand.New(rand.NewPCG(seed, 13))
	random.Shuffle(len(messages), func(i, j int) { messages[i], messages[j] = messages[j], messages[i] })
	return messages
}

// split shuffles and holds a fifth out.
func split(messages []message, seed uint64) (train, test []message) {
	messages = shuffled(messages, seed)
	cut := len(messages) - len(messages)/5
	return messages[:cut], messages[cut:]
}

// dtypes are how a collection is laid out.
type dtypes struct{ text, label bastionlabv1.DType }

var (
	narrow = dtypes{bastionlabv1.DType_DTYPE_U8, bastionlabv1.DType_DTYPE_U8}
	wide   = dtypes{bastionlabv1.DType_DTYPE_I64, bastionlabv1.DType_DTYPE_I64}
	single = dtypes{bastionlabv1.DType_DTYPE_F32, bastionlabv1.DType_DTYPE_F32}
	double = dtypes{bastionlabv1.DType_DTYPE_F64, bastionlabv1.DType_DTYPE_I64}
)

// send uploads messages as a client does, batch by batch.
func (s *site) send(t *testing.T, owner string, messages []message, as dtypes, testOf string) *bastionlabv1.UploadDatasetResponse {
	t.Helper()
	header := &bastionlabv1.UploadDatasetHeader{Records: int64(len(messages)), TestOf: testOf, Schema: &bastionlabv1.Schema{
		Inputs: []*bastionlabv1.TensorSpec{spec("text", as.text, textBytes)}, Label: spec("", as.label),
	}}
	u, err := s.catalogue.Begin(t.Context(), owner, header)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Abort()
	var batches []*bastionlabv1.RecordBatch
	for len(messages) > 0 {
		n := min(len(messages), 100)
		var texts, labels []byte
		for _, m := range messages[:n] {
			for _, b := range m.text {
				texts = appendNumber(texts, as.text, int64(b))
			}
			labels = appendNumber(labels, as.label, m.label)
		}
		b := batchOf(t, int64(n), []safetensors.Tensor{
			{Name: "input.text", DType: as.text, Shape: []int64{int64(n), textBytes}, Data: texts},
			{Name: "label", DType: as.label, Shape: []int64{int64(n)}, Data: labels},
		})
		if err := u.Add(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		batches, messages = append(batches, b), messages[n:]
	}
	d, err := u.Finish(t.Context(), trailerOf(header.GetRecords(), batches...))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func appendNumber(to []byte, dtype bastionlabv1.DType, v int64) []byte {
	order := binary.LittleEndian
	switch dtype {
	case bastionlabv1.DType_DTYPE_I64:
		return order.AppendUint64(to, uint64(v))
	case bastionlabv1.DType_DTYPE_F32:
		return order.AppendUint32(to, math.Float32bits(scaled(v)))
	case bastionlabv1.DType_DTYPE_F64:
		return order.AppendUint64(to, math.Float64bits(float64(scaled(v))))
	}
	return append(to, byte(v))
}

// scaled is what becomes of an image's bytes: not exact in float32, and so another number in float64 if it were computed there.
func scaled(v int64) float32 { return float32(v) / 255 }
