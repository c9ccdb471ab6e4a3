package lineage

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/big"
	"testing"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
)

const (
	boolean = bastionlabv1.DType_DTYPE_BOOL
	u8      = bastionlabv1.DType_DTYPE_U8
	i8      = bastionlabv1.DType_DTYPE_I8
	i16     = bastionlabv1.DType_DTYPE_I16
	i32     = bastionlabv1.DType_DTYPE_I32
	i64     = bastionlabv1.DType_DTYPE_I64
	f16     = bastionlabv1.DType_DTYPE_F16
	bf16    = bastionlabv1.DType_DTYPE_BF16
	f32     = bastionlabv1.DType_DTYPE_F32
	f64     = bastionlabv1.DType_DTYPE_F64
)

// raw are the little-endian bytes of fixed-size numbers.
func raw(numbers any) []byte {
	encoded, err := binary.Append(nil, binary.LittleEndian, numbers)
	if err != nil {
		panic(err)
	}
	return encoded
}

func TestAValueHasOneFormInEveryDTypeThatHoldsIt(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	names := map[string]string{} // by form
	for name, same := range map[string][]struct {
		dtype bastionlabv1.DType
		raw   []byte
	}{
		"0": {
			{boolean, []byte{0}}, {u8, []byte{0}}, {i8, []byte{0}}, {i16, raw(int16(0))}, {i32, raw(int32(0))}, {i64, raw(int64(0))},
			{f16, raw(uint16(0))}, {bf16, raw(uint16(0))}, {f32, raw(float32(0))}, {f64, raw(float64(0))},
			{f16, raw(uint16(0x8000))}, {bf16, raw(uint16(0x8000))}, {f32, raw(uint32(1 << 31))}, {f64, raw(math.Copysign(0, -1))},
		},
		"1": {
			{boolean, []byte{1}}, {boolean, []byte{255}}, {u8, []byte{1}}, {i8, []byte{1}}, {i16, raw(int16(1))}, {i32, raw(int32(1))}, {i64, raw(int64(1))},
			{f16, raw(uint16(0x3c00))}, {bf16, raw(uint16(0x3f80))}, {f32, raw(float32(1))}, {f64, raw(float64(1))},
		},
		"-2":          {{i8, []byte{0xfe}}, {i16, raw(int16(-2))}, {i32, raw(int32(-2))}, {i64, raw(int64(-2))}, {f16, raw(uint16(0xc000))}, {bf16, raw(uint16(0xc000))}, {f32, raw(float32(-2))}, {f64, raw(float64(-2))}},
		"255":         {{u8, []byte{255}}, {i16, raw(int16(255))}, {f64, raw(float64(255))}},
		"1.5":         {{f16, raw(uint16(0x3e00))}, {bf16, raw(uint16(0x3fc0))}, {f32, raw(float32(1.5))}, {f64, raw(1.5)}},
		"2^-24":       {{f16, raw(uint16(1))}, {f32, raw(float32(0x1p-24))}, {f64, raw(0x1p-24)}},
		"65504":       {{f16, raw(uint16(0x7bff))}, {i32, raw(int32(65504))}, {f64, raw(65504.0)}},
		"2^-149":      {{f32, raw(uint32(1))}, {f64, raw(0x1p-149)}},
		"2^53":        {{i64, raw(int64(1 << 53))}, {f64, raw(0x1p53)}, {f32, raw(float32(0x1p53))}},
		"2^53+2":      {{i64, raw(int64(1<<53 + 2))}, {f64, raw(0x1p53 + 2)}},
		"-2^63":       {{i64, raw(int64(math.MinInt64))}, {f64, raw(-0x1p63)}, {f32, raw(float32(-0x1p63))}},
		"infinite":    {{f16, raw(uint16(0x7c00))}, {bf16, raw(uint16(0x7f80))}, {f32, raw(float32(inf))}, {f64, raw(inf)}},
		"-infinite":   {{f16, raw(uint16(0xfc00))}, {bf16, raw(uint16(0xff80))}, {f32, raw(float32(-inf))}, {f64, raw(-inf)}},
		"no number":   {{f16, raw(uint16(0x7c01))}, {f16, raw(uint16(0xfe00))}, {bf16, raw(uint16(0x7fc0))}, {f32, raw(uint32(0xffc00001))}, {f64, raw(nan)}, {f64, raw(escape)}, {f64, raw(notANumber | 1<<63)}},
		"2^53+1":      {{i64, raw(int64(1<<53 + 1))}},
		"2^63-1":      {{i64, raw(int64(math.MaxInt64))}},
		"-2^63+1":     {{i64, raw(int64(math.MinInt64 + 1))}},
		"2^63":        {{f64, raw(0x1p63)}},
		"two numbers": {{f64, raw([]float64{nan, math.Float64frombits(1<<53 + 1)})}},
	} {
		want := appendValues(nil, same[0].dtype, same[0].raw)
		for _, v := range same {
			if got := appendValues(nil, v.dtype, v.raw); !bytes.Equal(got, want) {
				t.Errorf("%s as %v is %x, as %v %x", name, same[0].dtype, want, v.dtype, got)
			}
		}
		if other, taken := names[string(want)]; taken {
			t.Errorf("%s and %s have one form", name, other)
		}
		names[string(want)] = name
	}
}

// The forms of all values of a dtype: as many as there are values, and each the float64 that equals it.
func TestSmallDTypesWhole(t *testing.T) {
	forms := map[uint64]bool{}
	for bits := range 1 << 16 {
		got := binary.LittleEndian.Uint64(appendValues(nil, f16, raw(uint16(bits))))
		want := exactHalf(uint16(bits))
		if v := math.Float64frombits(got); !(v == want || v != v && want != want) || math.Signbit(v) && v == 0 {
			t.Fatalf("binary16 %#04x is %v, want %v", bits, v, want)
		}
		forms[got] = true
	}
	// 2^16 patterns less the second zero and all but one of the 2 * 1023 NaNs.
	if want := 1<<16 - 1 - (2*1023 - 1); len(forms) != want {
		t.Errorf("%d forms, want %d", len(forms), want)
	}
}

// exactHalf is the value of a binary16 by its definition.
func exactHalf(bits uint16) float64 {
	sign, exponent, fraction := 1-2*float64(bits>>15), int(bits>>10&31), float64(bits&1023)
	switch {
	case exponent == 31 && fraction > 0:
		return math.NaN()
	case exponent == 31:
		return math.Inf(int(sign))
	case exponent == 0:
		return sign * math.Ldexp(fraction/1024, -14)
	}
	return sign * math.Ldexp(1+fraction/1024, exponent-15)
}

// Integers on both sides of everywhere that float64 begins to skip some: equal forms if and only if equal numbers.
func TestNoTwoIntegersHaveOneForm(t *testing.T) {
	seen := map[string]int64{}
	for shift := range 64 {
		for _, sign := range []int64{1, -1} {
			for offset := int64(-3); offset <= 3; offset++ {
				v := sign*int64(uint64(1)<<shift) + offset
				form := appendInteger(nil, v)
				if other, ok := seen[string(form)]; ok && other != v {
					t.Fatalf("%d and %d have one form", v, other)
				}
				seen[string(form)] = v
				exact := new(big.Float).SetInt64(v)
				_, accuracy := exact.Float64()
				if escaped := len(form) == 16; escaped == (accuracy == big.Exact) {
					t.Fatalf("%d has a form of %d bytes", v, len(form))
				}
			}
		}
	}
}
