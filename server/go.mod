module github.com/bastionlab/bastionlab/server

go 1.26.0

// What a release is built with: its digest is that of this compiler. An older Go fetches it.
toolchain go1.26.8

tool (
	google.golang.org/grpc/cmd/protoc-gen-go-grpc
	google.golang.org/protobuf/cmd/protoc-gen-go
	honnef.co/go/tools/cmd/staticcheck
)

require (
	filippo.io/age v1.3.2 // blobs at rest: a streaming AEAD with a key per file, wrapped for the server's key
	github.com/coreos/go-systemd/v22 v22.7.0 // tells the service manager that the server is ready, or stops
	github.com/elastic/go-seccomp-bpf v1.6.0 // assembles the trainer's system call filter, on all threads at once
	github.com/google/go-sev-guest v0.15.0 // asks the SEV-SNP device for reports, carries AMD's certificates, a second opinion in tests; 0.14.0 verifies forged chains
	github.com/google/go-tdx-guest v0.3.1 // asks the TDX device for quotes, and verifies their chains and TCB levels
	github.com/insomniacslk/dhcp v0.0.0-20260901064844-234b97448fae // a measured image's address; linked into bastionlab-init only
	github.com/prometheus/client_golang v1.25.0 // metrics, where --metrics-listen asks for them
	github.com/rogpeppe/go-internal v1.16.0 // tests: the command line as scripts
	github.com/spf13/cobra v1.10.2 // the command line
	github.com/spf13/pflag v1.0.9 // cobra's flags, read together with environment and file
	github.com/vishvananda/netlink v1.3.1 // sets that address; linked into bastionlab-init only
	go.opentelemetry.io/otel v1.47.0 // traces, where --trace-endpoint asks for them
	go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp v1.47.0 // sends them
	go.opentelemetry.io/otel/sdk v1.47.0 // queues them, and drops what nobody takes
	go.opentelemetry.io/otel/trace v1.47.0 // their spans
	go.opentelemetry.io/proto/otlp v1.11.0 // tests: what a collector is sent
	go.uber.org/goleak v1.3.0 // tests: every goroutine has ended
	go.yaml.in/yaml/v3 v3.0.5 // tests: reads the rules for Prometheus
	golang.org/x/crypto v0.58.0 // the keys of datasets, wrapped by the server's
	golang.org/x/net v0.61.0 // the filter's instructions, as go-seccomp-bpf takes them
	golang.org/x/sync v0.24.0 // groups of goroutines with one error
	golang.org/x/sys v0.49.0 // memfd, Landlock, namespaces and descriptors over sockets
	gonum.org/v1/gonum v0.17.0 // the Fourier transform of the accountant
	google.golang.org/grpc v1.85.0 // the protocol
	google.golang.org/protobuf v1.36.12 // the protocol's messages
	modernc.org/sqlite v1.61.1 // the catalogue, embedded and without cgo
)

require (
	filippo.io/hpke v0.4.0 // indirect
	github.com/BurntSushi/toml v1.4.1-0.20240526193622-a339e1f7089c // indirect
	github.com/beorn7/perks v1.0.1 // indirect
	github.com/cenkalti/backoff/v5 v5.0.3 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/dustin/go-humanize v1.1.0 // indirect
	github.com/go-logr/logr v1.4.4 // indirect
	github.com/go-logr/stdr v1.2.2 // indirect
	github.com/google/go-configfs-tsm v0.2.2 // indirect
	github.com/google/logger v1.1.1 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/grpc-ecosystem/grpc-gateway/v2 v2.30.0 // indirect
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/josharian/native v1.1.0 // indirect
	github.com/mattn/go-isatty v0.0.24 // indirect
	github.com/mdlayher/packet v1.1.2 // indirect
	github.com/mdlayher/socket v0.4.1 // indirect
	github.com/munnerz/goautoneg v0.0.0-20191010083416-a7dc8b61c822 // indirect
	github.com/ncruces/go-strftime v1.1.0 // indirect
	github.com/pierrec/lz4/v4 v4.1.14 // indirect
	github.com/prometheus/client_model v0.6.3 // indirect
	github.com/prometheus/common v0.72.0 // indirect
	github.com/prometheus/procfs v0.22.0 // indirect
	github.com/remyoudompheng/bigfft v0.0.0-20230129092748-24d4a6f8daec // indirect
	github.com/u-root/uio v0.0.0-20230220225925-ffce2a382923 // indirect
	github.com/vishvananda/netns v0.0.5 // indirect
	go.opentelemetry.io/auto/sdk v1.2.1 // indirect
	go.opentelemetry.io/otel/exporters/otlp/otlptrace v1.47.0 // indirect
	go.opentelemetry.io/otel/log v1.47.0 // indirect
	go.opentelemetry.io/otel/metric v1.47.0 // indirect
	go.uber.org/multierr v1.11.0 // indirect
	golang.org/x/exp/typeparams v0.0.0-20231108232855-2478ac86f678 // indirect
	golang.org/x/mod v0.42.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	golang.org/x/tools v0.52.0 // indirect
	google.golang.org/genproto/googleapis/api v0.0.0-20260928230214-8a89bd6388cc // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260928230214-8a89bd6388cc // indirect
	google.golang.org/grpc/cmd/protoc-gen-go-grpc v1.6.2 // indirect
	honnef.co/go/tools v0.8.2 // indirect
	modernc.org/libc v1.79.0 // indirect
	modernc.org/mathutil v1.7.1 // indirect
	modernc.org/memory v1.12.1 // indirect
)
