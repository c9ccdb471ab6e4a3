package verification

import "fmt"

// part is one component of a TCB version: where it lies in its eight bytes, and the extension that certifies it.
type part struct {
	name   string
	offset int
	arc    int // below 1.3.6.1.4.1.3704.1.3
}

// layouts are the products that are known ("Versioned Chip Endorsement Key (VCEK) Certificate and KDS Interface Specification", TCB_VERSION).
var layouts = map[string][]part{
	"Milan": {{"bl", 0, 1}, {"tee", 1, 2}, {"snp", 6, 3}, {"ucode", 7, 8}},
	"Genoa": {{"bl", 0, 1}, {"tee", 1, 2}, {"snp", 6, 3}, {"ucode", 7, 8}},
	"Turin": {{"fmc", 0, 9}, {"bl", 1, 1}, {"tee", 2, 2}, {"snp", 3, 3}, {"ucode", 7, 8}},
}

// baseModel is the CPU model that a floor without a model is for. Microcode is numbered per model: a Siena's 25 is newer than a Genoa's 84.
var baseModel = map[string]byte{"Milan": 0x01, "Genoa": 0x11, "Turin": 0x02}

// hardwareIDBytes is how much of a report's chip identifier is in use.
var hardwareIDBytes = map[string]int{"Milan": 64, "Genoa": 64, "Turin": 8}

// productOf is the product line of a CPU; Siena and Bergamo are of Genoa's.
func productOf(family, model byte) (string, error) {
	switch {
	case family == 0x19 && model <= 0x0F:
		return "Milan", nil
	case family == 0x19 && (model>>4 == 0x1 || model>>4 == 0xA):
		return "Genoa", nil
	case family == 0x1A && model <= 0x11:
		return "Turin", nil
	}
	return "", refuse("product", "an EPYC of the lines Milan, Genoa or Turin", "CPU family %#x, model %#x", family, model)
}

// floorKey is the name under which a policy has the floor of a CPU.
func floorKey(product string, r *report) string {
	if r.version() < 3 || r.model() == baseModel[product] {
		return product
	}
	return fmt.Sprintf("%s/%02x", product, r.model())
}

func tcbOf(product string, encoded []byte) Floor {
	parts := Floor{}
	for _, p := range layouts[product] {
		parts[p.name] = encoded[p.offset]
	}
	return parts
}
