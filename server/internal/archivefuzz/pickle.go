package archivefuzz

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
)

// instruction is one step of a pickle: its code and argument.
type instruction []byte

// Instructions that torch.jit.save writes, and those that libtorch's reader knows besides.
const (
	opMark, opStop, opPop, opTuple, opEmptyTuple, opEmptyList, opEmptyDict  = '(', '.', '0', 't', ')', ']', '}'
	opAppend, opAppends, opSetItem, opSetItems, opReduce, opBuild, opNewObj = 'a', 'e', 's', 'u', 'R', 'b', 0x81
	opNone, opTrue, opFalse, opTuple1, opTuple2, opTuple3, opPersistent     = 'N', 0x88, 0x89, 0x85, 0x86, 0x87, 'Q'
	opInt1, opInt2, opInt4, opLong1, opFloat                                = 'K', 'M', 'J', 0x8a, 'G'
	opUnicode, opShortBytes, opGlobal                                       = 'X', 'U', 'c'
	opGet, opLongGet, opPut, opLongPut, opProto                             = 'h', 'j', 'q', 'r', 0x80
)

// instructions takes a pickle apart; false where it meets a code that it does not know.
func instructions(pickle []byte) ([]instruction, bool) {
	var found []instruction
	for len(pickle) > 0 {
		length := 1
		switch pickle[0] {
		case opInt1, opGet, opPut, opProto:
			length = 2
		case opInt2:
			length = 3
		case opInt4, opLongGet, opLongPut:
			length = 5
		case opFloat:
			length = 9
		case opLong1, opShortBytes:
			if len(pickle) < 2 {
				return nil, false
			}
			length = 2 + int(pickle[1])
		case opUnicode:
			if len(pickle) < 5 {
				return nil, false
			}
			length = 5 + int(binary.LittleEndian.Uint32(pickle[1:]))
		case opGlobal:
			first := bytes.IndexByte(pickle, '\n')
			if first < 0 || bytes.IndexByte(pickle[first+1:], '\n') < 0 {
				return nil, false
			}
			length = first + 1 + bytes.IndexByte(pickle[first+1:], '\n') + 1
		}
		if length > len(pickle) || length < 1 {
			return nil, false
		}
		found, pickle = append(found, pickle[:length:length]), pickle[length:]
	}
	return found, true
}

func changePickle(r source, pickle []byte) []byte {
	steps, ok := instructions(pickle)
	if !ok || len(steps) == 0 {
		return spoil(r, pickle)
	}
	for range 1 + r.few() {
		if len(steps) == 0 {
			break
		}
		steps = changeInstruction(r, steps, r.IntN(len(steps)))
	}
	return slices.Concat(toBytes(steps)...)
}

func toBytes(steps []instruction) [][]byte {
	all := make([][]byte, len(steps))
	for i, step := range steps {
		all[i] = step
	}
	return all
}

func changeInstruction(r source, steps []instruction, at int) []instruction {
	switch r.IntN(12) {
	case 0:
		return slices.Delete(steps, at, at+1)
	case 1:
		return slices.Insert(steps, at, steps[r.IntN(len(steps))])
	case 2:
		other := r.IntN(len(steps))
		steps[at], steps[other] = steps[other], steps[at]
	case 3:
		return slices.Insert(steps, at, anyInstruction(r))
	case 4:
		steps[at] = anyInstruction(r)
	case 5:
		if r.one(30) {
			return slices.Insert(steps, at, deep(r))
		}
		steps[at] = anyInstruction(r)
	default:
		// Most often a value, for what holds a pickle together is refused by the first check.
		values := slices.Clone(steps)
		values = slices.DeleteFunc(values, func(step instruction) bool { return !isValue(step) })
		for range 8 {
			if candidate := r.IntN(len(steps)); isValue(steps[candidate]) {
				steps[candidate] = changeValue(r, steps[candidate], values)
				break
			}
		}
	}
	return steps
}

func isValue(step instruction) bool {
	return slices.Contains([]byte{opInt1, opInt2, opInt4, opLong1, opFloat, opUnicode, opGlobal, opTrue, opFalse, opNone, opGet, opPut}, step[0])
}

func changeValue(r source, step instruction, values []instruction) instruction {
	switch step[0] {
	case opInt1, opInt2, opInt4, opLong1:
		return anyInteger(r)
	case opGet, opPut:
		return instruction{step[0], step[1] + byte(r.IntN(9)) - 4}
	case opGlobal:
		if r.one(2) {
			return append(append(instruction{opGlobal}, among(r, globals)...), '\n')
		}
	case opTrue, opFalse, opNone:
		return instruction{among(r, []byte{opTrue, opFalse, opNone, opEmptyTuple, opEmptyList, opEmptyDict})}
	}
	// The value of another place of the same kind.
	for range 16 {
		if other := among(r, values); other[0] == step[0] {
			return other
		}
	}
	return anyInstruction(r)
}

// globals are the names that libtorch's reader has a meaning for, and some that it has not.
var globals = []string{
	"torch\nFloatStorage", "torch\nDoubleStorage", "torch\nLongStorage", "torch\nIntStorage", "torch\nHalfStorage", "torch\nBoolStorage",
	"torch\nByteStorage", "torch\nCharStorage", "torch\nShortStorage", "torch\nBFloat16Storage", "torch\nComplexFloatStorage",
	"torch\nQInt8Storage", "torch\nQUInt8Storage", "torch\nQInt32Storage", "torch\nUInt16Storage", "torch\nComplexDoubleStorage",
	"torch._utils\n_rebuild_tensor_v2", "torch._utils\n_rebuild_qtensor", "torch._utils\n_rebuild_parameter", "torch._utils\n_rebuild_sparse_tensor",
	"torch._utils\n_rebuild_meta_tensor_no_storage", "torch._tensor\n_rebuild_from_type_v2", "torch.jit._pickle\nrestore_type_tag",
	"torch.jit._pickle\nbuild_intlist", "torch.jit._pickle\nbuild_tensorlist", "torch.jit._pickle\nbuild_doublelist", "torch.jit._pickle\nbuild_boollist",
	"torch.jit._pickle\nbuild_tensor_from_id", "collections\nOrderedDict", "torch\nper_tensor_affine", "torch\nper_channel_affine", "torch\ndevice",
	"torch\ncomplex", "torch.distributed.rpc\nrref", "torch\nSize", "torch._C\n_cuda_setDevice", "posix\nsystem", "__torch__\nNothing",
	"builtins\ncomplex", "fairseq.modules\nX", "torch.nn.modules.linear\nLinear",
}

func anyInteger(r source) instruction {
	switch r.IntN(3) {
	case 0:
		return instruction{opInt1, byte(r.IntN(12))}
	case 1:
		return binary.LittleEndian.AppendUint32(instruction{opInt4}, uint32(among(r, []int32{-1, 0, math.MaxInt32, math.MinInt32, 256, 65536})))
	}
	extreme := among(r, []uint64{math.MaxInt64, 1 << 63, math.MaxUint64, 1 << 40, 1 << 62, 1 << 32})
	return binary.LittleEndian.AppendUint64(instruction{opLong1, 8}, extreme)
}

func anyInstruction(r source) instruction {
	switch r.IntN(6) {
	case 0:
		return anyInteger(r)
	case 1:
		return binary.BigEndian.AppendUint64(instruction{opFloat}, math.Float64bits(among(r, []float64{0, 1, -1, math.NaN(), math.Inf(1), 1e-310})))
	case 2:
		text := among(r, []string{"", "0", "1", "99", "cpu", "cuda:0", "storage", "weight", "training", "meta", "List[int]", "Dict[str, Tensor]", "Tuple[int, int]", "a\x00b", "\xff"})
		return append(binary.LittleEndian.AppendUint32(instruction{opUnicode}, uint32(len(text))), text...)
	case 3:
		return append(append(instruction{opGlobal}, among(r, globals)...), '\n')
	case 4:
		return instruction{among(r, []byte{opGet, opPut}), byte(r.IntN(60))}
	}
	return instruction{among(r, []byte{
		opMark, opStop, opPop, opTuple, opEmptyTuple, opEmptyList, opEmptyDict, opAppend, opAppends, opSetItem, opSetItems, opReduce, opBuild, opNewObj,
		opNone, opTrue, opFalse, opTuple1, opTuple2, opTuple3, opPersistent,
	})}
}

// deep nests far, or takes many memory cells.
func deep(r source) instruction {
	count := 1 << (6 + r.IntN(13))
	switch r.IntN(3) {
	case 0:
		return bytes.Repeat([]byte{opMark}, count)
	case 1:
		return append(bytes.Repeat([]byte{opEmptyList}, count), bytes.Repeat([]byte{opAppend}, count-1)...)
	}
	return append(append(bytes.Repeat([]byte{opMark}, count), opNone), bytes.Repeat([]byte{opTuple}, count)...)
}
