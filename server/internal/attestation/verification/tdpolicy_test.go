package verification

import (
	"bytes"
	"math/big"
	"slices"
	"strconv"
	"testing"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/attestation"
)

func tdxFields(put map[string]any) map[string]any {
	registers := map[string]any{}
	for i := range 4 {
		registers[strconv.Itoa(i)] = []string{repeated(byte(i), 48)}
	}
	tdx := map[string]any{"mr_td": []string{repeated(0xAB, 48)}, "mr_seam": []string{repeated(0x5E, 48)}, "rtmrs": registers}
	for name, value := range put {
		tdx[name] = value
	}
	return map[string]any{"platforms": []string{"tdx"}, "chip_ids": null{}, "measurements": []string{}, "config_digests": null{}, "tdx": tdx}
}

// With a root in the place of Intel's, all of a quote is decided here.
func TestASyntheticTD(t *testing.T) {
	for name, test := range map[string]struct {
		check  string
		change func(*td)
		put    map[string]any
		open   map[string]any
	}{
		"as it should be":              {"", func(*td) {}, nil, nil},
		"any module":                   {"", func(*td) {}, map[string]any{"mr_seam": null{}}, nil},
		"a register that is not named": {"", func(*td) {}, map[string]any{"rtmrs": map[string]any{}}, nil},
		"an advisory that is accepted": {"", func(d *td) { d.advisories = []string{"INTEL-SA-1"} }, map[string]any{"advisories": []string{"INTEL-SA-1"}}, nil},
		"an advisory":                  {"tdx_status", func(d *td) { d.advisories = []string{"INTEL-SA-1"} }, nil, nil},
		"a platform that is behind":    {"tdx_status", func(d *td) { d.status = "OutOfDate" }, nil, nil},
		"an enclave that is behind":    {"tdx_status", func(d *td) { d.enclaveStatus = "OutOfDate" }, nil, nil},
		"behind, and accepted":         {"tdx_status", func(d *td) { d.status = "SWHardeningNeeded" }, map[string]any{"statuses": []string{"UpToDate", "SWHardeningNeeded"}}, nil},
		"a status that is not wanted":  {"tdx_status", func(*td) {}, map[string]any{"statuses": []string{"SWHardeningNeeded"}}, nil},
		"a platform below every level": {"tdx_status", func(d *td) { d.level = 6 }, nil, nil},
		"TCB info of another platform": {"collateral", func(d *td) { d.fmspc = "000000000000" }, nil, nil},
		"TCB info signed by another":   {"collateral", func(d *td) { d.otherSigner = true }, nil, nil},
		"collateral of last month":     {"collateral", func(d *td) { d.until = today.AddDate(0, 0, -1) }, nil, nil},
		"a platform that is revoked":   {"collateral", func(d *td) { d.revoked = []*big.Int{big.NewInt(3)} }, nil, nil},
		"another measurement":          {"measurement", func(*td) {}, map[string]any{"mr_td": []string{repeated(1, 48)}}, nil},
		"another module":               {"measurement", func(*td) {}, map[string]any{"mr_seam": []string{repeated(1, 48)}}, nil},
		"another register":             {"measurement", func(*td) {}, map[string]any{"rtmrs": map[string]any{"2": []string{repeated(1, 48)}}}, nil},
		"chips that are known":         {"chip_id", func(*td) {}, nil, map[string]any{"chip_ids": []string{repeated(1, 64)}}},
		"a quote by another enclave":   {"chain", func(d *td) { d.pck = d.signing }, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			d := newTD(t)
			test.change(d)
			m := milan()
			fields := tdxFields(test.put)
			for field, value := range test.open {
				fields[field] = value
			}
			data := attestation.ReportData(m.channel.PublicKey, someClaims(t), attestation.Leaf(m.channel.Binding, m.nonce, m.channel.Exporter))
			e := tdxEvidence(t, d.quote(t, data), d.collateral(t))
			e.Binding = bastionlabv1.Binding_BINDING_EXPORTER
			v := &verifier{format: "tdx", policy: policy(t, fields), now: today, intel: keyDigest(d.rootCert)}
			found, claims, err := v.verify(e, m.nonce[:], m.channel)
			if test.check != "" {
				refusedUnder(t, err, test.check)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := []string{"measurement", "debug", "migrate", "policy_bits", "format", "chain", "signature", "collateral", "tdx_status", "binding", "config", "version", "storage", "development"}
			if !slices.Equal(names(v.passed), want) || found.measurement != repeated(0xAB, 48) || claims.GetStorageLevel() != "memory" {
				t.Errorf("%v, %+v", names(v.passed), found)
			}
			if _, err := Verify(e, m.nonce[:], m.channel, v.policy, today, AMDRoots()); err == nil {
				t.Error("anybody is taken for Intel")
			} else {
				refusedUnder(t, err, "chain")
			}
		})
	}
}

// Whatever bit is turned of what is signed in a quote, it is refused.
func TestEveryByteOfAQuote(t *testing.T) {
	d, m := newTD(t), milan()
	data := attestation.ReportData(m.channel.PublicKey, someClaims(t), attestation.Leaf(m.channel.Binding, m.nonce, m.channel.Exporter))
	e := tdxEvidence(t, d.quote(t, data), d.collateral(t))
	e.Binding = bastionlabv1.Binding_BINDING_EXPORTER
	p, good := policy(t, tdxFields(nil)), e.Report
	for i := range quoteHeader + bodyBytes + 4 + 128 + 6 + 384 + 64 + 3 {
		e.Report = bytes.Clone(good)
		e.Report[i] ^= 1 << (i % 8)
		v := &verifier{format: "tdx", policy: p, now: today, intel: keyDigest(d.rootCert)}
		if _, _, err := v.verify(e, m.nonce[:], m.channel); err == nil {
			t.Fatalf("byte %d", i)
		} else {
			refusedOrNot(t, err)
		}
	}
	for n := 0; n < len(good); n += 7 {
		e.Report = good[:n]
		v := &verifier{format: "tdx", policy: p, now: today, intel: keyDigest(d.rootCert)}
		if _, _, err := v.verify(e, m.nonce[:], m.channel); err == nil {
			t.Fatalf("%d bytes of the quote", n)
		} else {
			refusedOrNot(t, err)
		}
	}
}
