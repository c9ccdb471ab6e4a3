package verification

import (
	"encoding/binary"
	"encoding/hex"
)

// quote is a TDX quote read where it lies ("Intel TDX DCAP Quoting Library API", appendix 3): 48 bytes of header, in version 5 six that say which
// body follows, the TD report, the signature's data.
type quote struct {
	version int
	body    []byte
}

const (
	quoteHeader    = 48
	quoteTEE       = 0x81
	keyECDSA       = 2
	bodyBytes      = 584 // TD report of TDX 1.0
	bodyBytes15    = 648 // of TDX 1.5: the same with two fields more at the end
	bodyType10     = 2
	bodyType15     = 3
	descriptorSize = 6 // version 5
)

func parseQuote(raw []byte) (*quote, error) {
	if len(raw) < quoteHeader+bodyBytes+4 {
		return nil, refuse("format", "a quote", "%d bytes", len(raw))
	}
	version, key, tee := binary.LittleEndian.Uint16(raw), binary.LittleEndian.Uint16(raw[2:]), binary.LittleEndian.Uint32(raw[4:])
	if tee != quoteTEE || key != keyECDSA {
		return nil, refuse("format", "a quote of TDX, signed with ECDSA on P-256", "TEE type %#x, key type %d", tee, key)
	}
	switch version {
	case 4:
		return &quote{4, raw[quoteHeader:][:bodyBytes]}, nil
	case 5:
		return parseQuote5(raw)
	}
	return nil, refuse("format", "a quote of version 4 or 5", "version %d", version)
}

func parseQuote5(raw []byte) (*quote, error) {
	kind, size := binary.LittleEndian.Uint16(raw[quoteHeader:]), binary.LittleEndian.Uint32(raw[quoteHeader+2:])
	rest := raw[quoteHeader+descriptorSize:]
	if known := kind == bodyType10 && size == bodyBytes || kind == bodyType15 && size == bodyBytes15; known && len(rest) >= int(size) {
		return &quote{5, rest[:size]}, nil
	}
	return nil, refuse("format", "the report of a TD", "a body of type %d with %d bytes", kind, size)
}

func (q *quote) moduleMeasurement() string { return hex.EncodeToString(q.body[16:64]) }
func (q *quote) attributes() uint64        { return binary.LittleEndian.Uint64(q.body[120:]) }
func (q *quote) measurement() string       { return hex.EncodeToString(q.body[136:184]) }
func (q *quote) register(i int) string     { return hex.EncodeToString(q.body[328+48*i:][:48]) }
func (q *quote) reportData() []byte        { return q.body[520:584] }

// serviceTD is the TD that may have a part in this one, and move it: zeros where there is none, and nothing in a report of TDX 1.0.
func (q *quote) serviceTD() []byte { return q.body[min(600, len(q.body)):] }

// tcbVersion is that of the TDX module, part by part.
func (q *quote) tcbVersion() []byte { return q.body[:16] }
