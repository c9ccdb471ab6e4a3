package program

import (
	"bytes"
	"errors"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
)

const (
	maxReportOperators  = 10_000
	maxReportParameters = 100_000
	maxReportTensors    = 1_000
	maxReportTextBytes  = 1024
)

// errReport is about the intake, not about the model: after it has read a hostile archive the intake is not trusted, and what it says is
// either well formed or not used at all.
var errReport = errors.New("the intake's report is malformed")

// CheckReport judges what the intake understood of the program whose digest is given, by the embedded table: every operator must be in
// it and not forbidden. A model that does not pass is an IncompatibleModel refusal; a report that no honest intake writes is
// another error.
func CheckReport(report *bastionlabv1.CapabilityReport, programSHA256 []byte) error {
	table, err := embedded()
	if err != nil {
		return err
	}
	return table.CheckReport(report, programSHA256)
}

// CheckReport is the function of the same name, by this table.
func (t Table) CheckReport(report *bastionlabv1.CapabilityReport, programSHA256 []byte) error {
	if err := checkForm(report); err != nil {
		return err
	}
	// SECURITY: the report counts for the bytes that the server holds, or for none.
	if !bytes.Equal(report.GetProgramSha256(), programSHA256) {
		return errReport
	}
	for _, use := range report.GetOperators() {
		// PRIVACY: deny by default: an operator nobody has argued for may read across records.
		if judged := t.Judge(use.GetName()); judged.Kind == Forbidden {
			return incompatible(judged)
		}
	}
	return nil
}

func incompatible(judged Operator) error {
	next := judged.Fix
	if next == "" {
		next = "write the model without it"
	}
	refused := refusal.New(refusal.IncompatibleModel, next, "the model uses %s, which cannot be trained privately: %s", judged.Name, judged.Reason)
	refused.Model = &refusal.Model{Operator: judged.Name, Reason: judged.Reason}
	return refused
}

func checkForm(report *bastionlabv1.CapabilityReport) error {
	if report == nil || len(report.GetOperators()) == 0 || len(report.GetOperators()) > maxReportOperators ||
		len(report.GetParameters()) > maxReportParameters || len(report.GetInputs()) > maxReportTensors || len(report.GetOutputs()) > maxReportTensors {
		return errReport
	}
	seen := map[string]bool{}
	for _, use := range report.GetOperators() {
		if !validOperator(use.GetName()) || use.GetCount() <= 0 || seen[use.GetName()] {
			return errReport
		}
		seen[use.GetName()] = true
	}
	names := map[string]bool{}
	for _, p := range report.GetParameters() {
		if !plainText(p.GetName()) || p.GetName() == "" || names[p.GetName()] || !plainText(p.GetMeasurement()) || !sized(p.GetDtype(), p.GetShape()) {
			return errReport
		}
		names[p.GetName()] = true
	}
	for _, tensors := range [][]*bastionlabv1.TensorSpec{report.GetInputs(), report.GetOutputs()} {
		for _, tensor := range tensors {
			if !plainText(tensor.GetName()) || !sized(tensor.GetDtype(), tensor.GetShape()) {
				return errReport
			}
		}
	}
	return nil
}

func plainText(text string) bool { return len(text) <= maxReportTextBytes && printableName(text) }

func sized(dtype bastionlabv1.DType, shape []int64) bool {
	_, err := safetensors.SizeBytes(dtype, shape)
	return err == nil
}
