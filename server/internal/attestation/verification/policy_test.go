package verification

import (
	"errors"
	"slices"
	"strings"
	"testing"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

func TestWhatAPolicyDoesNotSay(t *testing.T) {
	p := policy(t, map[string]any{"allow": nil})
	if p.Binding != bastionlabv1.Binding_BINDING_UNSPECIFIED || !slices.Equal(p.SigningKeys, []string{"VCEK"}) || p.VMPL != 0 || p.MinGuestSVN != 0 || p.MinABI != [2]byte{} ||
		len(p.Allow)+len(p.RequirePolicy)+len(p.RequirePlatform) != 0 || !slices.Equal(p.ReportVersions, []uint32{3, 4, 5}) || p.Development || p.MinVersion != "" {
		t.Errorf("%+v", p)
	}
	for name, open := range map[string]Allowed{"id keys": p.IDKeyDigests, "author keys": p.AuthorKeyDigests, "host data": p.HostData, "roots": p.Roots} {
		if !open.IsAny() {
			t.Errorf("%s are pinned to %v", name, open.Values())
		}
	}
	if p.TDX.MRTD.Has("") || p.TDX.RTMRs[0].Has("") {
		t.Error("a policy without tdx takes some")
	}
	if !slices.Equal(p.Measurements.Values(), []string{repeated(0xAB, 48)}) || p.ChipIDs.IsAny() {
		t.Errorf("%+v", p)
	}
}

// A refusal of a policy names the field.
func TestPoliciesThatAreRefused(t *testing.T) {
	good := string(written(t, nil))
	with := func(member string) string { return strings.TrimSuffix(good, "}") + "," + member + "}" }
	for name, test := range map[string]struct{ document, names string }{
		"nothing":                     {"", "JSON"},
		"no JSON":                     {"platforms", "JSON"},
		"a list":                      {"[" + good + "]", "JSON object"},
		"null":                        {"null", "JSON object"},
		"something behind":            {good + "{}", "JSON"},
		"a letter behind":             {good + "x", "JSON"},
		"no UTF-8":                    {strings.Replace(good, "memory", "mem\xff", 1), "UTF-8"},
		"a mark before":               {"\ufeff" + good, "JSON"},
		"a field twice":               {with(`"vmpl":0,"vmpl":0`), "vmpl"},
		"a field twice, further down": {with(`"tdx":{"mr_td":[],"mr_td":[]}`), "mr_td"},
		"a field twice, in disguise":  {with(`"vmpl":0,"\u0076mpl":0`), "vmpl"},
		"too deep":                    {with(`"x":` + strings.Repeat("[", 20) + strings.Repeat("]", 20)), "deep"},
		"too long":                    {with(`"x":"` + strings.Repeat(" ", maxPolicyBytes) + `"`), "1 MiB"},
		"an unknown field":            {with(`"measurement":[]`), "measurement"},
		"an unknown field of tdx":     {with(`"tdx":{"mr_td":["` + repeated(1, 48) + `"],"mr_seam":null,"rtmrs":{},"debug":true}`), "tdx.debug"},
		"a floor's part missing":      {strings.Replace(good, `"bl":3,`, "", 1), "tcb."},
		"a floor's part unknown":      {strings.Replace(good, `"bl":3`, `"bl":3,"fmc":0`, 1), "fmc"},
		"a whole number as another":   {with(`"vmpl":1.0`), "vmpl"},
		"a number as an exponent":     {with(`"min_guest_svn":1e1`), "min_guest_svn"},
		"a number below nothing":      {with(`"vmpl":-1`), "vmpl"},
		"a number that is huge":       {with(`"min_guest_svn":99999999999999999999999`), "min_guest_svn"},
		"tdx without its measurement": {with(`"tdx":{"mr_td":null,"mr_seam":null,"rtmrs":{}}`), "tdx.mr_td"},
		"a register that is null":     {with(`"tdx":{"mr_td":["` + repeated(1, 48) + `"],"mr_seam":null,"rtmrs":{"0":null}}`), "tdx.rtmrs.0"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := ParsePolicy([]byte(test.document))
			refusedUnder(t, err, "policy")
			var refused *refusal.Error
			if errors.As(err, &refused); !strings.Contains(refused.Check.Expected+refused.Check.Seen, test.names) {
				t.Errorf("%q is not named by %v", test.names, err)
			}
			if len(p.Platforms) != 0 {
				t.Errorf("a policy came of it: %+v", p)
			}
		})
	}
}

func TestExplain(t *testing.T) {
	for name, test := range map[string]struct {
		put   map[string]any
		words []string
	}{
		"any chip":          {map[string]any{"chip_ids": null{}}, []string{"warning: chip_ids is null: any chip", "measurement: one of 1", "TCB of Milan: at least bl 3, snp 24, tee 0, ucode 219"}},
		"any configuration": {map[string]any{"config_digests": null{}}, []string{"warning: config_digests is null", "configuration: any"}},
		"development":       {map[string]any{"development": true}, []string{"warning: development"}},
		"simulated":         {map[string]any{"platforms": []string{"simulated"}}, []string{"warning: simulated evidence"}},
		"the key":           {map[string]any{"binding": "key"}, []string{"steals that key can relay"}},
		"the exporter":      {map[string]any{"binding": "exporter"}, []string{"bound to the connection"}},
		"an open register": {map[string]any{"platforms": []string{"tdx"}, "tdx": map[string]any{"mr_td": []string{repeated(1, 48)}, "mr_seam": null{},
			"rtmrs": map[string]any{"0": []string{repeated(1, 48)}, "2": []string{repeated(1, 48)}, "3": []string{repeated(1, 48)}}}}, []string{"warning: rtmrs has no 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Join(policy(t, test.put).Explain(), "\n")
			for _, word := range test.words {
				if !strings.Contains(text, word) {
					t.Errorf("%q is not in\n%s", word, text)
				}
			}
		})
	}
	if text := strings.Join(policy(t, nil).Explain(), "\n"); strings.Contains(text, "warning") {
		t.Errorf("a policy that pins everything is warned of:\n%s", text)
	}
}

// What is proposed takes the evidence it was made of, and no other machine's.
func TestPropose(t *testing.T) {
	m := milan()
	evidence := m.evidence(t)
	p := tailored(t, evidence)
	if _, err := Verify(evidence, m.nonce[:], m.channel, p, today, roots(t)); err != nil {
		t.Fatal(err)
	}
	for check, change := range map[string]func(*machine){
		"measurement": func(m *machine) { m.measurement[0]++ },
		"chip_id":     func(m *machine) { m.chip = [64]byte{} },
		"config":      func(m *machine) { m.claims.ConfigDigest[0]++ },
		"tcb":         func(m *machine) { m.launch[6]-- },
		"storage":     func(m *machine) { m.claims.StorageLevel = "file" },
		"development": func(m *machine) { m.claims.Development = true },
	} {
		t.Run(check, func(t *testing.T) {
			other := milan()
			change(other)
			_, err := Verify(other.evidence(t), other.nonce[:], other.channel, p, today, roots(t))
			refusedUnder(t, err, check)
		})
	}
	for check, change := range map[string]func(*bastionlabv1.Evidence){
		"format": func(e *bastionlabv1.Evidence) { e.Format = "sgx" },
		"chain":  func(e *bastionlabv1.Evidence) { e.Endorsements = nil },
		"config": func(e *bastionlabv1.Evidence) { e.Claims = nil },
	} {
		t.Run("nothing of "+check, func(t *testing.T) {
			broken := clone(evidence)
			change(broken)
			_, err := Propose(broken)
			refusedUnder(t, err, check)
		})
	}
	simulated := milan()
	simulated.format = "simulated"
	if p := tailored(t, simulated.evidence(t)); !slices.Equal(p.Roots.Values(), roots(t)["Milan"]) {
		t.Errorf("the simulator's root is not pinned: %v", p.Roots)
	}
}
