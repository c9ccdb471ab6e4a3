package verification

import (
	"crypto/x509"
	"encoding/hex"
	"errors"
	"slices"

	"github.com/google/go-tdx-guest/pcs"
)

var errNoLevel = errors.New("no TCB level that the platform reaches")

// matchingLevels are the TCB levels of platform, TDX module and quoting enclave: of each the first, which is the highest, that is reached
// (Intel PCS API 4, "Get TDX TCB Info", "Enhanced TCB status").
func matchingLevels(q *quote, enclaveSVN uint32, leaf *x509.Certificate, c *collateral) ([]pcs.TcbLevel, error) {
	info, identity, err := c.tcb()
	if err != nil {
		return nil, err
	}
	certified, err := pcs.PckCertificateExtensions(leaf)
	if err != nil {
		return nil, err
	}
	platform := slices.IndexFunc(info.TcbLevels, func(level pcs.TcbLevel) bool { return reaches(q, certified.TCB, level.Tcb) })
	enclave := slices.IndexFunc(identity.TcbLevels, func(level pcs.TcbLevel) bool { return level.Tcb.Isvsvn <= enclaveSVN })
	if platform < 0 || enclave < 0 {
		return nil, errNoLevel
	}
	levels := []pcs.TcbLevel{info.TcbLevels[platform], identity.TcbLevels[enclave]}
	version := q.tcbVersion()
	if version[1] == 0 {
		return levels, nil
	}
	for _, module := range info.TdxModuleIdentities {
		if module.ID != "TDX_"+hex.EncodeToString(version[1:2]) {
			continue
		}
		if i := slices.IndexFunc(module.TcbLevels, func(level pcs.TcbLevel) bool { return level.Tcb.Isvsvn <= uint32(version[0]) }); i >= 0 {
			return append(levels, module.TcbLevels[i]), nil
		}
	}
	return nil, errNoLevel
}

func reaches(q *quote, certified pcs.PckCertTCB, level pcs.Tcb) bool {
	version, from := q.tcbVersion(), 0
	if version[1] > 0 {
		from = 2 // the module has levels of its own
	}
	return certified.PCESvn >= level.Pcesvn && atLeastEach(certified.CPUSvnComponents, level.SgxTcbcomponents, 0) &&
		atLeastEach(version, level.TdxTcbcomponents, from)
}

func atLeastEach(have []byte, wanted []pcs.TcbComponent, from int) bool {
	if len(have) != len(wanted) {
		return false
	}
	for i := from; i < len(have); i++ {
		if have[i] < wanted[i].Svn {
			return false
		}
	}
	return true
}
