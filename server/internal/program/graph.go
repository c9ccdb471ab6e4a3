package program

import (
	"bytes"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
)

const (
	maxGraphBytes = 64 << 20
	// maxParts bounds the messages and listed numbers of a graph. An operand of two bytes takes about a hundred in memory, so that the graph's size
	// alone would not bound what reading it takes.
	maxParts = 2_000_000
	// maxDepth is how deep messages of a graph lie in one another: step, operand, list, operand, list, operand.
	maxDepth = 6
)

// encodeGraph refuses what decodeGraph would.
func encodeGraph(graph *trainerv1.Graph) ([]byte, error) {
	if steps := len(graph.GetSteps()); steps > maxSteps {
		return nil, tooLarge("%d steps, at most %d", steps, maxSteps)
	}
	encoded, err := canonicalBytes(graph)
	if err != nil {
		return nil, err
	}
	if len(encoded) > maxGraphBytes {
		return nil, tooLarge("a graph of %d bytes, at most %d", len(encoded), maxGraphBytes)
	}
	return encoded, weigh(encoded)
}

// decodeGraph takes the one encoding of a graph. Protobuf alone would take fields in any order and number, repeat them, spell numbers in
// several ways and keep what it does not know: each of which lets two readers differ, or carries something past both.
func decodeGraph(encoded []byte) (*trainerv1.Graph, error) {
	if err := weigh(encoded); err != nil {
		return nil, err
	}
	graph := &trainerv1.Graph{}
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(encoded, graph); err != nil {
		return nil, malformed("the graph is no such message")
	}
	again, err := canonicalBytes(graph)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, encoded) {
		return nil, malformed("the graph is not in its canonical encoding")
	}
	return graph, nil
}

// canonicalBytes: protobuf calls its deterministic encoding stable within one build only. If an update changes it, models that were
// taken in before are refused and uploaded again; none is read differently.
func canonicalBytes(graph *trainerv1.Graph) ([]byte, error) {
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(graph)
	if err != nil {
		return nil, fmt.Errorf("program: encode the graph: %w", err)
	}
	return encoded, nil
}

// weigh walks through an encoded graph and counts what decoding it would make, without making anything.
func weigh(encoded []byte) error {
	w := weight{}
	return w.message(encoded, (*trainerv1.Graph)(nil).ProtoReflect().Descriptor(), 0)
}

type weight struct{ parts int }

func (w *weight) message(encoded []byte, form protoreflect.MessageDescriptor, depth int) error {
	if depth > maxDepth {
		return malformed("the graph holds lists within lists within lists")
	}
	if err := w.add(1); err != nil {
		return err
	}
	for len(encoded) > 0 {
		number, wire, tagBytes := protowire.ConsumeTag(encoded)
		if tagBytes < 0 {
			return malformed("the graph is no such message")
		}
		field := form.Fields().ByNumber(number)
		if field == nil {
			return malformed("the graph has a field that there is not")
		}
		valueBytes := protowire.ConsumeFieldValue(number, wire, encoded[tagBytes:])
		if valueBytes < 0 {
			return malformed("the graph is no such message")
		}
		value := encoded[tagBytes : tagBytes+valueBytes]
		encoded = encoded[tagBytes+valueBytes:]
		if err := w.field(value, field, wire, depth); err != nil {
			return err
		}
	}
	return nil
}

func (w *weight) field(value []byte, field protoreflect.FieldDescriptor, wire protowire.Type, depth int) error {
	switch {
	case wire != protowire.BytesType && field.IsList():
		return w.add(1)
	case wire != protowire.BytesType:
		return nil
	case field.Message() != nil:
		content, _ := protowire.ConsumeBytes(value) // it was measured before
		return w.message(content, field.Message(), depth+1)
	case field.IsPacked():
		return w.add(len(value)) // a number takes a byte at least
	}
	return nil // a text takes no more than it has
}

func (w *weight) add(parts int) error {
	if w.parts += parts; w.parts > maxParts {
		return tooLarge("a graph of more than %d parts", maxParts)
	}
	return nil
}
