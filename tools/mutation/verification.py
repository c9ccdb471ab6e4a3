"""Mutants of the verifier of evidence: each refusal that there is, taken out."""

from __future__ import annotations

from mutant import Go, Mutant, Replacement, without

PACKAGE = "internal/attestation/verification"
JUDGED = "TestVectors|TestWhatIsTaken|TestWhatIsRefused|TestEvidenceForSomebodyElse|TestAChainThatNobody"
QUOTES = "TestAGenuineQuote|TestASyntheticTD|TestAttributesOfATD|TestAQuoteOfVersion5"
POLICIES = "TestVectors|TestPoliciesThatAreRefused"
FILES = "TestVectors|TestParseFile"


def mutant(name: str, file: str, old: str, new: str, tests: str = JUDGED) -> Mutant:
    return without(f"evidence: {name}", f"{PACKAGE}/{file}", old, new, Go(PACKAGE, tests))


def never(name: str, file: str, condition: str, tests: str = JUDGED) -> Mutant:
    """The refusal under this condition is taken out."""
    return mutant(name, file, f"{condition} {{", f"false && ({condition}) {{", tests)


SNP = [
    never("a report of any length", "snp.go", "len(raw) != attestation.ReportBytes"),
    never("a report of any version", "snp.go", "!slices.Contains(s.policy.ReportVersions, s.report.version())"),
    never("a report of any algorithm", "snp.go", "s.report.algorithm() != 1"),
    never("reserved bytes of a report", "snp.go", "s.report.reserved()"),
    mutant("reserved bytes after the signature", "report.go", "if b != 0 {", "if false && b != 0 {"),
    mutant("a reserved word", "report.go", "r.u32(0x4C) != 0 || ", ""),
    mutant("reserved bits of the signer", "report.go", " || r.signer()>>5 != 0", ""),
    mutant("unknown bits of the guest's policy", "snp.go", "policy>>26 != 0 || ", ""),
    mutant("a guest's policy without its one", "snp.go", " || policy>>17&1 == 0", ""),
    never("any key signs", "snp.go", "!slices.Contains(s.policy.SigningKeys, s.report.signingKey())"),
    never("any number of certificates", "certificate.go", "len(endorsements) != 3"),
    mutant("any CPU is a Turin", "product.go", "case family == 0x1A && model <= 0x11:", "default:"),
    mutant("any product by its name", "snp.go", "; !known {", "; false && !known {"),
    never("certificates of any length", "certificate.go", "len(der) > maxCertificateBytes"),
    mutant("any root", "certificate.go", "!pinned(digest) {", "false && !pinned(digest) {"),
    mutant(
        "a simulator's root passes for AMD's",
        "snp.go",
        "return func(digest string) bool { return",
        "return func(digest string) bool { return true ||",
    ),
    mutant(
        "a policy's roots are for hardware too",
        "snp.go",
        "if v.format == attestation.FormatSimulated {\n\t\t// SECURITY",
        "if true {\n\t\t// SECURITY",
    ),
    never("names of issuers", "certificate.go", "string(child.RawIssuer) != string(issuer.RawSubject)"),
    # Either of the two would do: a certificate that names another scheme is not signed with this one.
    Mutant(
        "evidence: any scheme of signatures",
        (
            Replacement(
                f"{PACKAGE}/certificate.go",
                "child.SignatureAlgorithm != x509.SHA384WithRSAPSS {",
                "false && child.SignatureAlgorithm != x509.SHA384WithRSAPSS {",
            ),
            Replacement(
                f"{PACKAGE}/certificate.go",
                "&rsa.PSSOptions{SaltLength: sha512.Size384}",
                "&rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto}",
            ),
        ),
        Go(PACKAGE, JUDGED),
    ),
    mutant("certificates of tomorrow", "certificate.go", "now.Before(child.NotBefore) || ", ""),
    mutant("certificates of yesterday", "certificate.go", " || now.After(child.NotAfter)", ""),
    mutant("the root is not looked at", "certificate.go", '{"the root", c.root, c.root},\n', ""),
    mutant(
        "the intermediate is not looked at", "certificate.go", '{"the intermediate certificate", c.intermediate, c.root},\n', ""
    ),
    mutant(
        "the chip's is not looked at", "certificate.go", '{"the certificate of the " + signingKey, c.key, c.intermediate},\n', ""
    ),
    mutant(
        "signatures of certificates",
        "certificate.go",
        "&rsa.PSSOptions{SaltLength: sha512.Size384}); err != nil {",
        "&rsa.PSSOptions{SaltLength: sha512.Size384}); false && err != nil {",
    ),
    mutant("roles of keys", "certificate.go", 'name != "SEV-"+signingKey {', 'false && name != "SEV-"+signingKey {'),
    mutant(
        "a chip's key on any curve",
        "certificate.go",
        "!ok || key.Curve != elliptic.P384() {",
        "!ok || key.Curve == elliptic.P224() {",
    ),
    never("the report's signature", "certificate.go", "!ecdsa.Verify(key, digest[:], x, y)"),
    mutant(
        "the certified version",
        "snp.go",
        "!ok || certified != int(reported[p.name]) {",
        "false && (!ok || certified != int(reported[p.name])) {",
    ),
    mutant("a version that is not certified", "snp.go", "!ok || certified", "ok && certified"),
    mutant("the certified chip", "snp.go", "!masked && !bytes.Equal(certified", "false && !masked && !bytes.Equal(certified"),
    mutant(
        "more of a chip than is certified", "snp.go", "!bytes.Equal(rest, make([]byte, len(rest))) {", "false && len(rest) > 0 {"
    ),
    mutant("a floor is for every model", "product.go", "if r.version() < 3 || r.model() == baseModel[product] {", "if true {"),
    never("a CPU without a floor", "snp.go", "!stated"),
    mutant(
        "hardware without a floor", "snp.go", " && s.format == attestation.FormatSimulated {\n\t\treturn nil", " {\n\t\treturn nil"
    ),
    never("old versions", "snp.go", "tcb.is[p.name] < floor[p.name]"),
    mutant("old versions that are reported", "snp.go", '{"reported", tcbOf(s.product, s.report.reportedTCB())},', ""),
    mutant("versions that can be rolled back", "snp.go", '{"committed", tcbOf(s.product, s.report.committedTCB())},', ""),
    mutant("old versions at launch", "snp.go", '{"launch", tcbOf(s.product, s.report.launchTCB())},', ""),
]

GUEST = [
    never("what a policy lists", "snpguest.go", "!allowed.Has(seen)"),
    mutant("the measurement", "snpguest.go", "s.report.measurement(), s.policy.Measurements)", "s.report.measurement(), Any())"),
    never("a guest that is debugged", "snpguest.go", "s.report.has(bitDebug)"),
    never("a guest that is moved", "snpguest.go", "s.report.has(bitMigrate)"),
    mutant("bits that are not allowed", "snpguest.go", "if slices.Contains(permissive, bit) && ", "if false && "),
    mutant("CXL needs no leave", "policy.go", 'permissive = []string{"cxl", "smt"}', 'permissive = []string{"smt"}'),
    mutant(
        "bits that are required", "snpguest.go", "for _, bit := range s.policy.RequirePolicy {", "for _, bit := range []string{} {"
    ),
    mutant(
        "a platform's bits", "snpguest.go", "for _, bit := range s.policy.RequirePlatform {", "for _, bit := range []string{} {"
    ),
    mutant("the firmware's major", "snpguest.go", "admits[0] < least[0] || ", ""),
    mutant("the firmware's minor", "snpguest.go", " || admits[0] == least[0] && admits[1] < least[1]", ""),
    never("the privilege level", "snpguest.go", "s.report.vmpl() != s.policy.VMPL"),
    never("the guest's version", "snpguest.go", "s.report.guestSVN() < s.policy.MinGuestSVN"),
    mutant("chips", "snpguest.go", "s.policy.ChipIDs}", "Any()}"),
    mutant("identity keys", "snpguest.go", "s.policy.IDKeyDigests}", "Any()}"),
    mutant("author keys", "snpguest.go", "s.policy.AuthorKeyDigests}", "Any()}"),
    mutant("the host's data", "snpguest.go", "s.policy.HostData}", "Any()}"),
]

WHOLE = [
    never("evidence of nothing", "verify.go", "len(evidence.GetReport()) == 0"),
    never("any format", "verify.go", "!slices.Contains(platforms, v.format)"),
    never("any platform", "verify.go", "!slices.Contains(v.policy.Platforms, v.format)"),
    mutant("simulated evidence has a name of its own", "verify.go", "if v.format == attestation.FormatSimulated {", "if false {"),
    never("a nonce of any length", "verify.go", "len(nonce) != attestation.NonceBytes"),
    mutant("evidence of another binding", "verify.go", "evidence.GetBinding() != channel.Binding || ", ""),
    mutant(
        "a binding to nothing",
        "verify.go",
        "|| !slices.Contains(known, channel.Binding)",
        "|| len(known) == 0",
    ),
    mutant("the policy's binding", "verify.go", " && wanted != channel.Binding {", " && false {"),
    never(
        "what the report is about",
        "verify.go",
        "attestation.ReportData(channel.PublicKey, evidence.GetClaims(), root) != [64]byte(reportData)",
    ),
    mutant(
        "the nonce is not bound",
        "verify.go",
        "[attestation.NonceBytes]byte(nonce), channel.Exporter)",
        "[attestation.NonceBytes]byte{}, channel.Exporter)",
    ),
    mutant("claims that cannot be read", "verify.go", "claims); err != nil {", "claims); false && err != nil {"),
    never("the configuration", "verify.go", "!v.policy.ConfigDigests.Has(config)"),
    mutant("the server's version", "verify.go", 'least != "" && !atLeast(c.GetVersion(), least) {', 'false && least != "" {'),
    mutant(
        "a version before its release",
        "verify.go",
        'order == 0 && !strings.HasPrefix(is[4], "-")',
        'order == 0 && !strings.HasPrefix("", "-")',
    ),
    never("where the key lies", "verify.go", "!slices.Contains(v.policy.StorageLevels, c.GetStorageLevel())"),
    never("development", "verify.go", "c.GetDevelopment() && !v.policy.Development"),
]

POLICY = [
    mutant(
        "a field of any name", "fields.go", 'f.check(name, slices.Contains(f.read, name), "no such field")', "_ = name", POLICIES
    ),
    mutant("a field that stands twice", "strictjson.go", "; twice {", "; false && twice {", POLICIES),
    never("a policy that is not UTF-8", "strictjson.go", "!utf8.Valid(document)", POLICIES),
    never("a policy that nests", "strictjson.go", "depth > maxDepth", POLICIES),
    never("a policy of any length", "policy.go", "len(document) > maxPolicyBytes", POLICIES),
    mutant("what must be written", "fields.go", "f.check(name, there || !required, ", "f.check(name, true, ", POLICIES),
    mutant("hex of any form", "fields.go", "ok && isHex(text, digits), expected", "ok, expected", POLICIES),
    mutant("hex of any length", "fields.go", "len(text) == digits && ", "", POLICIES),
    mutant("hex in upper case", "fields.go", '"0123456789abcdef"', '"0123456789abcdefABCDEF"', POLICIES),
    mutant(
        "names that are not known",
        "fields.go",
        'f.check(name, slices.Contains(known, text), "of "',
        'f.check(name, true, "of "',
        POLICIES,
    ),
    mutant("numbers of any size", "fields.go", " && uint64(number) <= highest", "", POLICIES),
    mutant("numbers below nothing", "fields.go", " && number >= 0", "", POLICIES),
    mutant("a device without a measurement", "policy.go", "!hardware || len(p.Measurements.values) > 0", "true", POLICIES),
    mutant("a device without a floor", "policy.go", "!hardware || len(p.TCB) > 0", "true", POLICIES),
    mutant("a floor without a part", "policy.go", "parts.require(part.name)", "_ = part", POLICIES),
    mutant("a floor with a part more", "policy.go", "\t\tparts.end()\n", "", POLICIES),
    mutant("a floor of any product", "policy.go", "known && (!isModel || isHex(model, 2))", "true", POLICIES),
    mutant(
        "roots for hardware",
        "policy.go",
        "p.Roots.any || slices.Contains(p.Platforms, attestation.FormatSimulated)",
        "true",
        POLICIES,
    ),
    mutant("a version of any form", "policy.go", 'p.MinVersion == "" || leastVersion.MatchString(p.MinVersion)', "true", POLICIES),
    mutant(
        "debug may be allowed",
        "policy.go",
        'permissive = []string{"cxl", "smt"}',
        'permissive = []string{"cxl", "smt", "debug"}',
        POLICIES,
    ),
    mutant("report versions that nobody reads", "policy.go", "!slices.Contains(reportVersions, v)", "false", POLICIES),
    mutant("tdx with a field more", "policy.go", "\tf.end()\n\treturn p\n", "\treturn p\n", POLICIES),
    mutant("registers with a field more", "policy.go", "\tregisters.end()\n", "", POLICIES),
    mutant(
        "tdx without its field",
        "policy.go",
        'f.object("tdx", slices.Contains(p.Platforms, attestation.FormatTDX))',
        'f.object("tdx", false)',
        POLICIES,
    ),
    mutant("a register that is null", "fields.go", 'f.check(name, value != nil, "a list")', "_ = value", POLICIES),
    never("a file of another form", "file.go", "form != fileForm", FILES),
    never("a file of any length", "file.go", "len(content) > MaxFileBytes", FILES),
    mutant("a file with a member more", "file.go", 'r.failed == "" && len(members) != r.read', "false", FILES),
    mutant("base64 in two ways", "file.go", " || base64.StdEncoding.EncodeToString(decoded) != text", "", FILES),
]

TDX = [
    mutant("another TEE's quote", "quote.go", "tee != quoteTEE || ", "", QUOTES),
    mutant("another kind of key", "quote.go", " || key != keyECDSA", "", QUOTES),
    never("a short quote", "quote.go", "len(raw) < quoteHeader+bodyBytes+4", QUOTES),
    never("a TD that is debugged", "tdx.go", "attributes&attributesUntrusted != 0", QUOTES),
    never("a TD that is moved", "tdx.go", "attributes&attributeMigratable != 0", QUOTES),
    mutant("unknown attributes", "tdx.go", "attributes&^attributesHarmless != 0 || ", "", QUOTES),
    mutant("a TD that the host surprises", "tdx.go", " || attributes&attributeNoSurprise == 0", "", QUOTES),
    mutant(
        "a service TD", "tdx.go", "!bytes.Equal(service, make([]byte, len(service))) {", "!bytes.Equal(service, service) {", QUOTES
    ),
    mutant("a body of another size", "quote.go", "kind == bodyType15 && size == bodyBytes15;", "kind == bodyType15;", QUOTES),
    mutant("a body that is cut short", "quote.go", "known && len(rest) >= int(size) {", "known {", QUOTES),
    mutant(
        "any number of collaterals",
        "collateral.go",
        "len(endorsements) != 1 || len(endorsements[0]) == 0",
        "len(endorsements) == 0",
        QUOTES,
    ),
    mutant("collateral with a member more", "collateral.go", 'r.failed == "" && len(members) != r.read', "false", QUOTES),
    mutant(
        "a body that ends early",
        "collateral.go",
        "json.Unmarshal([]byte(text), &object) != nil || object == nil",
        "json.Unmarshal([]byte(text), &object) == nil && false",
        QUOTES,
    ),
    mutant("any root but Intel's", "tdx.go", "digest != v.intel {", "false && digest != v.intel {", QUOTES),
    mutant("the quote by itself", "tdx.go", "} else if err != nil {", "} else if false && err != nil {", QUOTES),
    mutant(
        "the collateral",
        "tdx.go",
        "options.GetCollateral, options.CheckRevocations = true, true",
        "options.GetCollateral = false",
        QUOTES,
    ),
    mutant(
        "revocation",
        "tdx.go",
        "options.GetCollateral, options.CheckRevocations = true, true",
        "options.GetCollateral = true",
        QUOTES,
    ),
    mutant(
        "what the library refuses",
        "tdx.go",
        "if failure != nil {\n\t\treturn refuse",
        "if false && failure != nil {\n\t\treturn refuse",
        QUOTES,
    ),
    mutant("any status", "tdx.go", "!slices.Contains(v.policy.TDX.Statuses, string(level.TcbStatus)) || ", "", QUOTES),
    never("any advisory", "tdx.go", "!slices.Contains(v.policy.TDX.Advisories, advisory)", QUOTES),
    never("a TD's measurements", "tdx.go", "!p.allowed.Has(p.seen)", QUOTES),
    never("a TDX quote where chips are known", "tdx.go", "!v.policy.ChipIDs.any", QUOTES),
]

MUTANTS: list[Mutant] = [*SNP, *GUEST, *WHOLE, *POLICY, *TDX]
