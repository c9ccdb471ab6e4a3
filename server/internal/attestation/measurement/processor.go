package measurement

import "encoding/binary"

// resetVector is where the first processor of every x86 machine starts.
const resetVector = 0xFFFFFFF0

// saveArea is the page from which a virtual processor starts, as KVM fills it for QEMU. What is not named is zero.
func saveArea(start, signature uint32, features uint64) []byte {
	area := make([]byte, pageBytes)
	u16, u32, u64 := binary.LittleEndian.PutUint16, binary.LittleEndian.PutUint32, binary.LittleEndian.PutUint64
	for _, segment := range []struct {
		offset               int
		selector, attributes uint16
		limit                uint32
		base                 uint64
	}{
		{0x00, 0, 0x93, 0xFFFF, 0},                                // ES
		{0x10, 0xF000, 0x9B, 0xFFFF, uint64(start & 0xFFFF_0000)}, // CS
		{0x20, 0, 0x93, 0xFFFF, 0},                                // SS
		{0x30, 0, 0x93, 0xFFFF, 0},                                // DS
		{0x40, 0, 0x93, 0xFFFF, 0},                                // FS
		{0x50, 0, 0x93, 0xFFFF, 0},                                // GS
		{0x60, 0, 0, 0xFFFF, 0},                                   // GDTR
		{0x70, 0, 0x82, 0xFFFF, 0},                                // LDTR
		{0x80, 0, 0, 0xFFFF, 0},                                   // IDTR
		{0x90, 0, 0x8B, 0xFFFF, 0},                                // TR
	} {
		u16(area[segment.offset:], segment.selector)
		u16(area[segment.offset+2:], segment.attributes)
		u32(area[segment.offset+4:], segment.limit)
		u64(area[segment.offset+8:], segment.base)
	}
	u64(area[0xD0:], 0x1000)                 // EFER: SVME, which KVM sets
	u64(area[0x148:], 0x40)                  // CR4: MCE, which KVM sets
	u64(area[0x158:], 0x10)                  // CR0
	u64(area[0x160:], 0x400)                 // DR7
	u64(area[0x168:], 0xFFFF_0FF0)           // DR6
	u64(area[0x170:], 0x2)                   // RFLAGS
	u64(area[0x178:], uint64(start&0xFFFF))  // RIP
	u64(area[0x268:], 0x0007_0406_0007_0406) // G_PAT
	u64(area[0x310:], uint64(signature))     // RDX: which processor this is
	u64(area[0x3B0:], features)              // SEV_FEATURES
	u64(area[0x3E8:], 0x1)                   // XCR0
	u32(area[0x408:], 0x1F80)                // MXCSR
	u16(area[0x410:], 0x37F)                 // the x87 control word
	return area
}
