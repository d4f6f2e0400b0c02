package main

// Why targets are missed, if they are: what the profile says, and what was tried.
const (
	sharedCores = "300 MB/s come out of the container, and on two processors the upload and the server that stands in for Azure compete with it: with the upload held back until the container's end it is 1.02× discard. Tried: uploading every flush interval rather than for every MiB (kept: 1.30× to 1.24× discard, 1.09× to 0.98× json-file)."

	bytesNotLines = "dockerd's cost is for each line, and there are 6,104 of them; the plugin's is for each byte, and it brings 100 MB to a disk and to a server: TLS and TCP 29 %, JSON 15 %, checksum and write to the spool 13 %, reading it back 8 %, the pipe 10 % of its profile. Tried: no wake-up for each write (kept), reused buffers and records (kept); TLS, TCP and JSON alone are more than the half of dockerd's."

	fluentBitsPace = "Fluent Bit sets the pace: its tail input and its flush of once a second take about as long with any output, and with null, which sends nothing, no less. The runs of one output are further apart than the outputs are."

	longList = "By the last quarter of a million flushes 92 sealed blocks of 16 MiB are in each list (3 kB of 20.6), and each byte is uploaded 3.8 times instead of 2.9: one carry more. Fewer blocks would mean larger ones: with 32 MiB or other bases the extra upload costs more than the shorter list saves (simulated for bases 12 to 64 and windows to 64 MiB)."

	noServiceTime = "Three requests to a service that takes 15 µs: what is left is CPU. Of the 160 µs more, about 70 are azblob's pipeline and the writer's (309 allocations a commit: request clone, header canonicalisation and HMAC of the shared key, the block list's XML), 50 the stand-in's own (it checks the signature, 22 headers where the bare client sends 4), the rest two goroutine switches and net/http's share of the longer headers. Against a service that takes a millisecond a request it is the row above."

	certificates = "Two thirds of both are the system's certificates (290 files), read within the first handshake; ours are 1.1 ms of package initialisation (azidentity's MSAL, klauspost/compress) and 1.0 ms up to the dial. A collection in the middle of the handshake (2.4 ms of CPU) is put off and only the command asked for is built; reading the certificates beside the rest gained nothing."

	linked = "What is linked is resident: this kernel maps whole folios of the binary. Beside the bare program, net/http with azblob alone takes 1.11×, with azidentity's credentials 1.28×, with its default chain (whose browser login links the HTTP server) 1.36×, with gzip and zstd 1.38×, with cobra 1.45×, all before a line of ours. Tried: no inlining (0.9 MB less to link, slower), a smaller GC percent (0.5 MB less, 4 ms more)."

	onceAProcess = "0.9 MB of it is there once and not per stream (heap spans, the pages of four connections; see the slope from 1,000 to 10,000: 4.8 KiB a stream)."

	keptTails = "The rest is liveblob.Budget: the tails' bytes, a cache of at most 20 MiB for all streams of a process together."

	twiceTheTails = "20 MiB of tails are kept (liveblob.Budget), and Go's collector lets the heap grow to twice what lives: with a budget of 12 MiB it is 50 MB at the same CPU."

	twoRequests = "Two requests a commit: 40 % is the SDK (signing alone 21 %, XML 6 %), 35 % net/http and its system calls, 5 % the collector, and less than 10 % ours. Taken out: growing a new goroutine's stack (14 %), a second write per request (10 %)."
)
