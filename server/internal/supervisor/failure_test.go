package supervisor

import (
	"errors"
	"strings"
	"testing"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// What the table says of an operator reaches its author: the process that met it only knows that it is not taken.
func TestARefusedOperatorIsExplained(t *testing.T) {
	for operator, want := range map[string][2]string{
		"aten::embedding_bag": {"mixes bags by offsets", "torch.nn.Embedding"},
		"aten::as_strided":    {"beyond its own record", "select"},
		"aten::batch_norm":    {"it was met", "change this part"}, // taken in other uses: the process knows better
		"aten::nobody_knows":  {"it was met", "change this part"},
	} {
		fault := &trainerv1.Fault{Code: trainerv1.Fault_CODE_INCOMPATIBLE_MODEL, Operator: operator, Layer: "encoder.0", Reason: "it was met"}
		var refused *refusal.Error
		if !errors.As(refuseFault(judging, fault), &refused) || refused.Kind != refusal.IncompatibleModel {
			t.Fatalf("%s: %v", operator, refused)
		}
		if !strings.Contains(refused.Error(), want[0]) || !strings.Contains(refused.Next, want[1]) {
			t.Errorf("%s: %v; next: %s", operator, refused, refused.Next)
		}
		if refused.Model == nil || refused.Model.Operator != operator || refused.Model.Layer != "encoder.0" {
			t.Errorf("%s: about %+v", operator, refused.Model)
		}
	}
}
