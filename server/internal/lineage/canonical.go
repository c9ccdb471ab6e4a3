package lineage

import (
	"encoding/binary"
	"math"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
)

// A value's canonical form is the eight bytes of the float64 that equals it. Every value of the dtypes taken has one, but for integers
// beyond 2^53 that lie between two float64: those are escape and then the integer, which no other value's form begins with. So a sequence
// of forms has one reading, and two values have the same form if and only if they are equal as numbers.
const (
	// notANumber stands for every NaN: which of its patterns a conversion keeps depends on the machine.
	notANumber uint64 = 0x7ff8_0000_0000_0000
	// escape is a NaN too, and so no number's own pattern.
	escape uint64 = 0x7ff8_0000_0000_0001
)

func formOfFloat(v float64) uint64 {
	switch {
	case v != v:
		return notANumber
	case v == 0:
		return 0 // -0 equals 0
	}
	return math.Float64bits(v)
}

func appendForm(to []byte, form uint64) []byte { return binary.LittleEndian.AppendUint64(to, form) }

func appendInteger(to []byte, v int64) []byte {
	// Rounding can end at 2^63, which is no int64: converting it back would be the machine's choice.
	if f := float64(v); f < 1<<63 && int64(f) == v {
		return appendForm(to, formOfFloat(f))
	}
	return appendForm(appendForm(to, escape), uint64(v))
}

// appendValues appends the forms of a tensor's elements as they lie in a record, little-endian without padding.
func appendValues(to []byte, dtype bastionlabv1.DType, raw []byte) []byte {
	order := binary.LittleEndian
	switch dtype {
	case bastionlabv1.DType_DTYPE_BOOL:
		for _, b := range raw {
			to = appendForm(to, formOfFloat(float64(min(b, 1)))) // whatever is not 0 is true
		}
	case bastionlabv1.DType_DTYPE_U8:
		for _, b := range raw {
			to = appendForm(to, formOfFloat(float64(b)))
		}
	case bastionlabv1.DType_DTYPE_I8:
		for _, b := range raw {
			to = appendForm(to, formOfFloat(float64(int8(b))))
		}
	case bastionlabv1.DType_DTYPE_I16:
		for ; len(raw) > 0; raw = raw[2:] {
			to = appendForm(to, formOfFloat(float64(int16(order.Uint16(raw)))))
		}
	case bastionlabv1.DType_DTYPE_I32:
		for ; len(raw) > 0; raw = raw[4:] {
			to = appendForm(to, formOfFloat(float64(int32(order.Uint32(raw)))))
		}
	case bastionlabv1.DType_DTYPE_I64:
		for ; len(raw) > 0; raw = raw[8:] {
			to = appendInteger(to, int64(order.Uint64(raw)))
		}
	case bastionlabv1.DType_DTYPE_F16:
		for ; len(raw) > 0; raw = raw[2:] {
			to = appendForm(to, formOfFloat(half(order.Uint16(raw))))
		}
	case bastionlabv1.DType_DTYPE_BF16:
		for ; len(raw) > 0; raw = raw[2:] {
			to = appendForm(to, formOfFloat(float64(math.Float32frombits(uint32(order.Uint16(raw))<<16))))
		}
	case bastionlabv1.DType_DTYPE_F32:
		for ; len(raw) > 0; raw = raw[4:] {
			to = appendForm(to, formOfFloat(float64(math.Float32frombits(order.Uint32(raw)))))
		}
	case bastionlabv1.DType_DTYPE_F64:
		for ; len(raw) > 0; raw = raw[8:] {
			to = appendForm(to, formOfFloat(math.Float64frombits(order.Uint64(raw))))
		}
	}
	return to
}

// half is the value of an IEEE 754 binary16.
func half(bits uint16) float64 {
	sign, exponent, fraction := uint64(bits>>15)<<63, uint64(bits>>10&0x1f), uint64(bits&0x3ff)
	switch exponent {
	case 0: // zero and subnormal: steps of 2^-24
		return math.Copysign(float64(fraction)*0x1p-24, math.Float64frombits(sign|1))
	case 0x1f:
		return math.Float64frombits(sign | 0x7ff<<52 | fraction<<42)
	}
	return math.Float64frombits(sign | (exponent+1023-15)<<52 | fraction<<42)
}
