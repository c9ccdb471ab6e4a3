package verification

import (
	"encoding/json"
	"testing"

	"github.com/google/go-tdx-guest/testing/testdata"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/attestation"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// refusedOrNot: whatever is read, it is taken or refused under a check.
func refusedOrNot(t *testing.T, err error) {
	t.Helper()
	if err != nil && refusal.KindOf(err) != refusal.Attestation {
		t.Fatalf("an error that is no refusal: %v", err)
	}
}

// A policy that is read is what two readers agree on: written without its spaces it is the same, and it takes no debug guest.
func FuzzParsePolicy(f *testing.F) {
	f.Add(written(f, nil))
	f.Add(written(f, map[string]any{"platforms": []string{"tdx", "simulated"}, "roots": []string{repeated(1, 32)}, "min_version": "1.0.0", "min_abi": []int{1, 2},
		"tdx": map[string]any{"mr_td": []string{repeated(1, 48)}, "mr_seam": null{}, "rtmrs": map[string]any{}}}))
	for _, v := range vectors(f)[:100:100] {
		f.Add([]byte(v.Policy))
	}
	m := milan()
	m.policy |= 1 << 19
	debug := m.evidence(f)
	f.Fuzz(func(t *testing.T, document []byte) {
		p, err := ParsePolicy(document)
		refusedOrNot(t, err)
		if err != nil {
			return
		}
		var loose map[string]any
		if err := json.Unmarshal(document, &loose); err != nil {
			t.Fatalf("taken, and no JSON: %v", err)
		}
		again, err := json.Marshal(loose)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParsePolicy(again); err != nil {
			t.Fatalf("%s\nis taken, and not\n%s\n%v", document, again, err)
		}
		if _, err := Verify(debug, m.nonce[:], m.channel, p, today, roots(t)); err == nil {
			t.Fatalf("%s\ntakes a debug guest", document)
		}
		_ = p.Explain()
	})
}

// taken is a vector that is accepted: its keys are the same in every process of a fuzzer.
func taken(f *testing.F, name string) (v vector, file File, p Policy) {
	f.Helper()
	for _, v := range vectors(f) {
		if v.Name != name {
			continue
		}
		file, err := ParseFile(v.file(f))
		if err != nil {
			f.Fatal(err)
		}
		p, err := ParsePolicy(v.Policy)
		if err != nil {
			f.Fatal(err)
		}
		if _, err := Verify(file.Evidence, file.Nonce, file.Channel, p, v.Now, v.Roots); err != nil {
			f.Fatal(err)
		}
		return v, file, p
	}
	f.Fatalf("there is no vector %q", name)
	return
}

// What the keys did not sign is not taken, whatever else it is.
func FuzzReport(f *testing.F) {
	v, file, p := taken(f, "accepted: Milan, exporter")
	f.Add(file.Evidence.GetReport())
	f.Fuzz(func(t *testing.T, raw []byte) {
		e := clone(file.Evidence)
		e.Report = raw
		_, err := Verify(e, file.Nonce, file.Channel, p, v.Now, v.Roots)
		refusedOrNot(t, err)
		if err == nil && string(raw[:attestation.SignedBytes]) != string(file.Evidence.Report[:attestation.SignedBytes]) {
			t.Fatal("a report that was not signed is taken")
		}
		_, err = Propose(e)
		refusedOrNot(t, err)
	})
}

// Of a chain nothing can be another way: RSASSA-PSS is over the certificate, and a signature has no second form.
func FuzzCertificates(f *testing.F) {
	v, file, p := taken(f, "accepted: Turin, exporter")
	chain := file.Evidence.GetEndorsements()
	f.Add(chain[0], chain[1], chain[2])
	f.Fuzz(func(t *testing.T, key, intermediate, root []byte) {
		e := clone(file.Evidence)
		e.Endorsements = [][]byte{key, intermediate, root}
		_, err := Verify(e, file.Nonce, file.Channel, p, v.Now, v.Roots)
		refusedOrNot(t, err)
		if err == nil && string(key) != string(chain[0]) {
			t.Fatal("another certificate of the chip is taken")
		}
	})
}

func FuzzQuote(f *testing.F) {
	good := tdxEvidence(f, testdata.RawQuote, intelsCollateral(f))
	f.Add(good.Report, good.Endorsements[0])
	five := append([]byte{5}, good.Report[1:quoteHeader]...)
	f.Add(append(append(five, 2, 0, 0x48, 2, 0, 0), good.Report[quoteHeader:]...), good.Endorsements[0])
	p := tailored(f, good)
	f.Fuzz(func(t *testing.T, quote, collateral []byte) {
		e := &bastionlabv1.Evidence{Format: "tdx", Report: quote, Endorsements: [][]byte{collateral}, Claims: good.Claims, Binding: 1, TreeSize: 1}
		_, err := judge(e, p, then)
		refusedOrNot(t, err)
		if err == nil {
			t.Fatal("a quote about somebody else's data is taken")
		}
		_, err = Propose(e)
		refusedOrNot(t, err)
	})
}

// A file that is read can be judged, and says nothing by itself.
func FuzzParseFile(f *testing.F) {
	m := milan()
	f.Add(saved(f, m, nil))
	f.Add(saved(f, m, map[string]any{"exporter": ""}))
	for _, v := range vectors(f)[:20] {
		f.Add(v.file(f))
	}
	p := policy(f, nil)
	f.Fuzz(func(t *testing.T, content []byte) {
		file, err := ParseFile(content)
		refusedOrNot(t, err)
		if err != nil {
			return
		}
		_, err = Verify(file.Evidence, file.Nonce, file.Channel, p, today, AMDRoots())
		if refusedOrNot(t, err); err == nil {
			t.Fatal("a chain that AMD did not sign is taken")
		}
		_, err = Propose(file.Evidence)
		refusedOrNot(t, err)
	})
}
